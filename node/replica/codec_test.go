package replica

import (
	"bytes"
	"reflect"
	"testing"

	"github.com/national-alliance/alliance/protocol"
)

// Frames that are written and read by hand are those that the field tags say:
// as they stand, with every byte changed, and cut everywhere. A type without
// its methods goes by its tags.
func TestFramesByHandAreAsTheTagsSay(t *testing.T) {
	env := protocol.Envelope{Core: []byte("example core"), Sections: [][]byte{{1, 2}, nil, {}}}
	verdict := PushVerdict{Seq: 9, Verdict: Want, Sections: []uint64{0, 300}}
	type (
		push   Push
		answer PushAnswer
		page   FetchAnswer
	)
	for _, v := range []Push{{}, {Record: &env, Seq: 1 << 40}, {Seq: 3, Sections: []Section{{1, []byte{5}}, {2, nil}}}} {
		asTags[Push, push](t, v, push(v))
	}
	for _, v := range []PushAnswer{{}, {Verdicts: []PushVerdict{verdict, {Verdict: Refuse, Code: RefusedBusy}}}, {Receipts: []protocol.SignedReceipt{{Body: []byte{1}}, {}}}, {Forks: []protocol.Fork{{A: env}}}} {
		asTags[PushAnswer, answer](t, v, answer(v))
	}
	for _, v := range []FetchAnswer{{}, {More: true, Records: []protocol.Envelope{env}}, {Unsure: true, Heads: []FeedHead{{Seq: 4, Core: []byte("x")}}}, {Sections: []Section{{Index: 7}}}} {
		asTags[FetchAnswer, page](t, v, page(v))
	}
}

// Every field of a frame stands in one of the values above, so that one that
// is added to a type and not to its pair of functions is missed here.
func TestFramesByHandLeaveNoFieldOut(t *testing.T) {
	env := protocol.Envelope{Core: []byte("core"), Signature: [64]byte{1}, Sections: [][]byte{{1}}}
	list := []Section{{1, []byte{2}}}
	complete(t, Push{Record: &env, Feed: protocol.FeedID{1}, Seq: 1, Sections: list})
	complete(t, list[0])
	complete(t, FetchAnswer{Records: []protocol.Envelope{env}, Sections: list, Heads: []FeedHead{{Seq: 1}}, More: true, Unsure: true})
	complete(t, FeedHead{Feed: protocol.FeedID{1}, Seq: 1, Head: protocol.RecordID{1}, Core: []byte{1}, Sig: [64]byte{1}})
	complete(t, PushAnswer{Verdicts: []PushVerdict{{Seq: 1}}, Receipts: []protocol.SignedReceipt{{Body: []byte{1}}}, Forks: []protocol.Fork{{A: env, B: env}}})
	complete(t, PushVerdict{Feed: protocol.FeedID{1}, Seq: 1, Verdict: 1, Code: 1, Sections: []uint64{1}})
}

func complete[T any](t *testing.T, v T) {
	t.Helper()
	for i := range reflect.TypeFor[T]().NumField() {
		if reflect.ValueOf(v).Field(i).IsZero() {
			t.Errorf("%T.%s is not in the test", v, reflect.TypeFor[T]().Field(i).Name)
		}
	}
	b := protocol.Encode(v)
	got, err := protocol.Decode[T](b, len(b))
	if err != nil || !reflect.DeepEqual(got, v) {
		t.Errorf("%+v became %+v, %v", v, got, err)
	}
}

func asTags[H, T any](t *testing.T, byHand H, byTags T) {
	t.Helper()
	b := protocol.Encode(byTags)
	if got := protocol.Encode(byHand); !bytes.Equal(got, b) {
		t.Fatalf("%T: %x, not %x", byHand, got, b)
	}
	taken := 0
	try := func(b []byte) {
		want, err := protocol.Decode[T](b, len(b))
		got, err2 := protocol.Decode[H](b, len(b))
		if (err == nil) != (err2 == nil) {
			t.Fatalf("%T of %x: by its tags %v, by hand %v", got, b, err, err2)
		}
		if err == nil {
			taken++
			if !reflect.DeepEqual(want, reflect.ValueOf(got).Convert(reflect.TypeOf(want)).Interface()) {
				t.Fatalf("%T of %x: %+v by its tags, %+v by hand", got, b, want, got)
			}
		}
	}
	try(b)
	if taken != 1 {
		t.Fatalf("%T: its own encoding is refused", byHand)
	}
	for i := range b {
		try(b[:i])
		was := b[i]
		for c := range 256 {
			b[i] = byte(c)
			try(b)
		}
		b[i] = was
	}
}
