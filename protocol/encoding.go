package protocol

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/fxamacker/cbor/v2"
)

// ErrEncoding marks bytes that are not the one valid encoding of a value:
// truncated, oversize, not canonical, or with fields that are not allowed.
var ErrEncoding = errors.New("not valid deterministic CBOR")

var encMode = func() cbor.EncMode {
	o := cbor.CoreDetEncOptions() // RFC 8949 §4.2.1
	m, err := o.EncMode()
	if err != nil {
		panic(err)
	}
	return m
}()

func decMode(unknown cbor.ExtraDecErrorCond) cbor.DecMode {
	m, err := cbor.DecOptions{
		DupMapKey:         cbor.DupMapKeyEnforcedAPF,
		IndefLength:       cbor.IndefLengthForbidden,
		TagsMd:            cbor.TagsForbidden,
		IntDec:            cbor.IntDecConvertNone,
		UTF8:              cbor.UTF8RejectInvalid,
		ExtraReturnErrors: unknown,
		MaxNestedLevels:   MaxNesting,
		MaxArrayElements:  MaxElements,
		MaxMapPairs:       MaxElements,
		FieldNameMatching: cbor.FieldNameMatchingCaseSensitive,
	}.DecMode()
	if err != nil {
		panic(err)
	}
	return m
}

var (
	strictMode = decMode(cbor.ExtraDecErrorUnknownField)
	openMode   = decMode(cbor.ExtraDecErrorNone)
)

// Encode returns the deterministic CBOR (RFC 8949 §4.2.1) of v: integer keys,
// shortest forms, sorted maps, definite lengths. It panics on a type that
// CBOR cannot hold, which is a mistake in the program.
func Encode(v any) []byte {
	if a, ok := v.(Appender); ok {
		return a.AppendCBOR(make([]byte, 0, 512))
	}
	b, err := encMode.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("protocol: encode %T: %v", v, err))
	}
	return b
}

// Decode reads the one encoding of a T and refuses everything else:
// trailing bytes, unknown fields, tags, indefinite lengths, duplicate or
// unsorted keys, non-minimal integers. Errors wrap [ErrEncoding]. b may be at most max bytes long.
func Decode[T any](b []byte, max int) (v T, err error) {
	if len(b) > max {
		return v, fmt.Errorf("%w: %d bytes, at most %d are allowed", ErrEncoding, len(b), max)
	}
	if p, ok := any(&v).(Parsed); ok {
		from := Parser{b: b}
		if p.ParseCBOR(&from); !from.done() {
			var zero T
			return zero, fmt.Errorf("%w: a field is missing, unknown, or not in its one form", ErrEncoding)
		}
		return v, nil
	}
	return decodeByTags[T](b)
}

// decodeByTags is Decode for a type without a decoder of its own. It decodes
// strictly and then encodes again to compare, since strict options alone let
// some of what is not canonical pass.
func decodeByTags[T any](b []byte) (v T, err error) {
	if err := strictMode.Unmarshal(b, &v); err != nil {
		var zero T
		return zero, fmt.Errorf("%w: %v", ErrEncoding, err)
	}
	again, err := encMode.Marshal(&v) // by pointer: arrays of bytes are then not copied
	if err != nil || !bytes.Equal(again, b) {
		var zero T
		return zero, fmt.Errorf("%w: another form of the same value is the canonical one", ErrEncoding)
	}
	return v, nil
}

// DecodeOpen is [Decode] for sealed bodies, where a newer program may add
// fields: fields that T does not know are passed over, and the caller keeps b
// itself. Everything else that Decode refuses is refused, the canonical form
// of unknown fields included.
func DecodeOpen[T any](b []byte, max int) (v T, err error) {
	if len(b) > max {
		return v, fmt.Errorf("%w: %d bytes, at most %d are allowed", ErrEncoding, len(b), max)
	}
	// With no unknown field, which is nearly always, the strict way is
	// cheaper and allows nothing that the other does not.
	if v, err := Decode[T](b, max); err == nil {
		return v, nil
	}
	if !canonical(b) {
		return v, fmt.Errorf("%w: not in its canonical form, or with a tag or a float", ErrEncoding)
	}
	var zero T
	if err := openMode.Unmarshal(b, &v); err != nil {
		return zero, fmt.Errorf("%w: %v", ErrEncoding, err)
	}
	known, err := encMode.Marshal(&v)
	if err != nil || !canonical(known) || !covers(b, known) {
		return zero, fmt.Errorf("%w: a field is of another length or kind", ErrEncoding)
	}
	return v, nil
}
