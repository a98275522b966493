package protocol

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"reflect"
	"testing"
)

// A type that is written and read by hand is the same as one that goes by its
// field tags: for values of all shapes, and for what is nearly an encoding.
func TestByHandIsAsTheTagsSay(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	byHand[Audience](t, r)
	byHand[Reader](t, r)
	byHand[ReaderSet](t, r)
	byHand[SectionRef](t, r)
	byHand[KeyBody](t, r)
	byHand[DataBody](t, r)
	byHand[Core](t, r)
	byHand[Envelope](t, r)
	byHand[Fork](t, r)
	byHand[Range](t, r)
	byHand[Refusal](t, r)
	byHand[Receipt](t, r)
	byHand[SignedReceipt](t, r)
	byHand[Inner](t, r)
}

func byHand[T any](t *testing.T, r *rand.Rand) {
	t.Helper()
	var zero T
	if _, ok := any(zero).(Appender); !ok {
		t.Errorf("%T has no encoder", zero)
	}
	if _, ok := any(&zero).(Parsed); !ok {
		t.Errorf("%T has no decoder", zero)
	}
	good, bad := 0, 0
	for range 3000 {
		var v T
		invent(r, reflect.ValueOf(&v).Elem(), 0)
		b, err := encMode.Marshal(&v)
		if err != nil {
			t.Fatal(err)
		}
		if got := Encode(v); !bytes.Equal(got, b) {
			t.Fatalf("%T encodes as\n%x, not\n%x", v, got, b)
		}
		if sameWays[T](t, b) {
			good++
		}
		for range 3 {
			if !sameWays[T](t, spoil(r, b)) {
				bad++
			}
		}
	}
	if good != 3000 || bad < 3000 {
		t.Errorf("%T: %d of 3000 taken, %d refused", zero, good, bad)
	}
}

// sameWays decodes both ways, and reports whether the bytes were taken.
func sameWays[T any](t *testing.T, b []byte) bool {
	t.Helper()
	want, err := decodeByTags[T](b)
	got, byHand := Decode[T](b, len(b))
	for _, e := range envelopes(want) {
		if len(e.Sections) > MaxSections {
			if byHand == nil {
				t.Fatalf("an envelope with %d sections is taken", len(e.Sections))
			}
			return true // this bound is not in the tags
		}
	}
	if (err == nil) != (byHand == nil) {
		t.Fatalf("%T of %x: by its tags %v, by hand %v", want, b, err, byHand)
	}
	if err == nil && !reflect.DeepEqual(want, got) {
		t.Fatalf("%T of %x:\n%+v by its tags,\n%+v by hand", want, b, want, got)
	}
	return err == nil
}

func envelopes(v any) []Envelope {
	switch v := v.(type) {
	case Envelope:
		return []Envelope{v}
	case Fork:
		return []Envelope{v.A, v.B}
	}
	return nil
}

// invent fills a value: mostly small, sometimes nothing, sometimes at the ends.
func invent(r *rand.Rand, v reflect.Value, depth int) {
	edge := []uint64{0, 1, 23, 24, 255, 256, 65535, 65536, 1<<32 - 1, 1 << 32, 1<<64 - 1}
	switch v.Kind() {
	case reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		v.SetUint(edge[r.IntN(len(edge))] & (1<<v.Type().Bits() - 1))
	case reflect.Int64:
		v.SetInt(int64(edge[r.IntN(len(edge))]))
	case reflect.Bool:
		v.SetBool(r.IntN(2) == 0)
	case reflect.String:
		v.SetString([]string{"", "example", "Beispiel-é", "दस"}[r.IntN(4)])
	case reflect.Array:
		for i := range v.Len() {
			v.Index(i).SetUint(r.Uint64() & 255)
		}
	case reflect.Slice:
		n := r.IntN(5) - 1
		if r.IntN(40) == 0 {
			n = 30
		}
		if n < 0 {
			return // nil
		}
		v.Set(reflect.MakeSlice(v.Type(), n, n))
		for i := range n {
			invent(r, v.Index(i), depth+1)
		}
	case reflect.Pointer:
		if r.IntN(2) == 0 {
			v.Set(reflect.New(v.Type().Elem()))
			invent(r, v.Elem(), depth+1)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			invent(r, v.Field(i), depth+1)
		}
	default:
		panic(fmt.Sprintf("no value of %s", v.Type()))
	}
}

// spoil changes an encoding a little: a byte, a cut, a piece twice, a null or an
// empty thing where another stood.
func spoil(r *rand.Rand, b []byte) []byte {
	b = bytes.Clone(b)
	at := r.IntN(len(b))
	switch r.IntN(6) {
	case 0:
		b[at] ^= 1 << r.IntN(8)
	case 1:
		b = b[:at]
	case 2:
		b[at] = []byte{null, 0x80, 0xa0, 0x40, 0x60, 0x00, 0x18, 0x58, 0xf5}[r.IntN(9)]
	case 3:
		b = append(b, b[at])
	case 4:
		b = append(b[:at], b[min(len(b), at+1+r.IntN(4)):]...)
	case 5:
		to := min(len(b), at+1+r.IntN(40))
		b = append(b[:to:to], b[at:]...)
	}
	return b
}

func FuzzByHand(f *testing.F) {
	r := rand.New(rand.NewPCG(3, 4))
	for range 20 {
		var c Core
		invent(r, reflect.ValueOf(&c).Elem(), 0)
		f.Add(Encode(c))
		var in Inner
		invent(r, reflect.ValueOf(&in).Elem(), 0)
		f.Add(Encode(in))
		var rc Receipt
		invent(r, reflect.ValueOf(&rc).Elem(), 0)
		f.Add(Encode(rc))
		var e Envelope
		invent(r, reflect.ValueOf(&e).Elem(), 0)
		f.Add(Encode(e))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		sameWays[Core](t, b)
		sameWays[Inner](t, b)
		sameWays[Receipt](t, b)
		sameWays[Envelope](t, b)
	})
}
