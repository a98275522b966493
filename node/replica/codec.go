package replica

import (
	"math"

	"github.com/national-alliance/alliance/protocol"
)

// The frames that carry records are written and read by hand, as records are.

// AppendCBOR is [protocol.Appender]'s.
func (x Push) AppendCBOR(b []byte) []byte {
	n := 2 + protocol.Count(x.Record != nil, len(x.Sections) > 0)
	b = protocol.AppendMap(b, n)
	if x.Record != nil {
		b = x.Record.AppendCBOR(append(b, 1))
	}
	b = protocol.AppendField(b, 2, x.Feed[:])
	b = protocol.AppendUint(append(b, 3), x.Seq)
	if len(x.Sections) > 0 {
		b = protocol.AppendAll(append(b, 4), x.Sections)
	}
	return b
}

// ParseCBOR is [protocol.Parsed]'s.
func (x *Push) ParseCBOR(p *protocol.Parser) {
	f := p.Fields()
	for f.Next() {
		switch f.Key {
		case 1:
			x.Record = new(protocol.Envelope)
			x.Record.ParseCBOR(p)
		case 2:
			p.Fixed(x.Feed[:])
		case 3:
			x.Seq = p.Uint(math.MaxUint64)
		case 4:
			x.Sections = protocol.ParseSome(p, protocol.ParseOne[Section])
		default:
			p.Fail()
		}
	}
	f.Need(4, 1, 4)
}

// AppendCBOR is [protocol.Appender]'s.
func (s Section) AppendCBOR(b []byte) []byte {
	b = protocol.AppendUint(append(protocol.AppendMap(b, 2), 1), s.Index)
	return protocol.AppendBytes(append(b, 2), s.Bytes)
}

// ParseCBOR is [protocol.Parsed]'s.
func (s *Section) ParseCBOR(p *protocol.Parser) {
	f := p.Fields()
	for f.Next() {
		switch f.Key {
		case 1:
			s.Index = p.Uint(math.MaxUint64)
		case 2:
			s.Bytes = p.Bytes()
		default:
			p.Fail()
		}
	}
	f.Need(2)
}

// AppendCBOR is [protocol.Appender]'s.
func (a FetchAnswer) AppendCBOR(b []byte) []byte {
	n := protocol.Count(len(a.Records) > 0, len(a.Sections) > 0, len(a.Heads) > 0, a.More, a.Unsure)
	b = protocol.AppendMap(b, n)
	if len(a.Records) > 0 {
		b = protocol.AppendAll(append(b, 1), a.Records)
	}
	if len(a.Sections) > 0 {
		b = protocol.AppendAll(append(b, 2), a.Sections)
	}
	if len(a.Heads) > 0 {
		b = protocol.AppendAll(append(b, 3), a.Heads)
	}
	if a.More {
		b = protocol.AppendBool(append(b, 4), true)
	}
	if a.Unsure {
		b = protocol.AppendBool(append(b, 5), true)
	}
	return b
}

// size is about how long an answer is when encoded.
func (a FetchAnswer) size() int {
	n := 64 + 512*len(a.Heads)
	for _, e := range a.Records {
		n += len(e.Core) + inline(e.Sections) + 128
	}
	for _, s := range a.Sections {
		n += len(s.Bytes) + 32
	}
	return n
}

// ParseCBOR is [protocol.Parsed]'s.
func (a *FetchAnswer) ParseCBOR(p *protocol.Parser) {
	for f := p.Fields(); f.Next(); {
		switch f.Key {
		case 1:
			a.Records = protocol.ParseSome(p, protocol.ParseOne[protocol.Envelope])
		case 2:
			a.Sections = protocol.ParseSome(p, protocol.ParseOne[Section])
		case 3:
			a.Heads = protocol.ParseSome(p, protocol.ParseOne[FeedHead])
		case 4:
			a.More = isTrue(p)
		case 5:
			a.Unsure = isTrue(p)
		default:
			p.Fail()
		}
	}
}

// isTrue reads a mark that is left out where it is false.
func isTrue(p *protocol.Parser) bool {
	if !p.Bool() {
		p.Fail()
	}
	return true
}

// AppendCBOR is [protocol.Appender]'s.
func (h FeedHead) AppendCBOR(b []byte) []byte {
	b = protocol.AppendField(protocol.AppendMap(b, 5), 1, h.Feed[:])
	b = protocol.AppendUint(append(b, 2), h.Seq)
	b = protocol.AppendField(b, 3, h.Head[:])
	b = protocol.AppendBytes(append(b, 4), h.Core)
	return protocol.AppendField(b, 5, h.Sig[:])
}

// ParseCBOR is [protocol.Parsed]'s.
func (h *FeedHead) ParseCBOR(p *protocol.Parser) {
	f := p.Fields()
	for f.Next() {
		switch f.Key {
		case 1:
			p.Fixed(h.Feed[:])
		case 2:
			h.Seq = p.Uint(math.MaxUint64)
		case 3:
			p.Fixed(h.Head[:])
		case 4:
			h.Core = p.Bytes()
		case 5:
			p.Fixed(h.Sig[:])
		default:
			p.Fail()
		}
	}
	f.Need(5)
}

// AppendCBOR is [protocol.Appender]'s.
func (a PushAnswer) AppendCBOR(b []byte) []byte {
	n := protocol.Count(len(a.Verdicts) > 0, len(a.Receipts) > 0, len(a.Forks) > 0)
	b = protocol.AppendMap(b, n)
	if len(a.Verdicts) > 0 {
		b = protocol.AppendAll(append(b, 1), a.Verdicts)
	}
	if len(a.Receipts) > 0 {
		b = protocol.AppendAll(append(b, 2), a.Receipts)
	}
	if len(a.Forks) > 0 {
		b = protocol.AppendAll(append(b, 3), a.Forks)
	}
	return b
}

// ParseCBOR is [protocol.Parsed]'s.
func (a *PushAnswer) ParseCBOR(p *protocol.Parser) {
	for f := p.Fields(); f.Next(); {
		switch f.Key {
		case 1:
			a.Verdicts = protocol.ParseSome(p, protocol.ParseOne[PushVerdict])
		case 2:
			a.Receipts = protocol.ParseSome(p, protocol.ParseOne[protocol.SignedReceipt])
		case 3:
			a.Forks = protocol.ParseSome(p, protocol.ParseOne[protocol.Fork])
		default:
			p.Fail()
		}
	}
}

// AppendCBOR is [protocol.Appender]'s.
func (v PushVerdict) AppendCBOR(b []byte) []byte {
	n := 3 + protocol.Count(v.Code != 0, len(v.Sections) > 0)
	b = protocol.AppendField(protocol.AppendMap(b, n), 1, v.Feed[:])
	b = protocol.AppendUint(append(b, 2), v.Seq)
	b = protocol.AppendUint(append(b, 3), v.Verdict)
	if v.Code != 0 {
		b = protocol.AppendUint(append(b, 4), v.Code)
	}
	if len(v.Sections) > 0 {
		b = protocol.AppendArray(append(b, 5), v.Sections)
		for _, i := range v.Sections {
			b = protocol.AppendUint(b, i)
		}
	}
	return b
}

// ParseCBOR is [protocol.Parsed]'s.
func (v *PushVerdict) ParseCBOR(p *protocol.Parser) {
	f := p.Fields()
	for f.Next() {
		switch f.Key {
		case 1:
			p.Fixed(v.Feed[:])
		case 2:
			v.Seq = p.Uint(math.MaxUint64)
		case 3:
			v.Verdict = Verdict(p.Uint(math.MaxUint8))
		case 4:
			if v.Code = p.Uint(math.MaxUint64); v.Code == 0 {
				p.Fail()
			}
		case 5:
			v.Sections = protocol.ParseSome(p, func(p *protocol.Parser, to *uint64) { *to = p.Uint(math.MaxUint64) })
		default:
			p.Fail()
		}
	}
	f.Need(5, 4, 5)
}
