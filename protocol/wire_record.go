package protocol

import "math"

// AppendCBOR is [Appender]'s.
func (a Audience) AppendCBOR(b []byte) []byte {
	b = AppendMap(b, Count(len(a.Orgs) > 0, a.Group != "", len(a.Except) > 0))
	if len(a.Orgs) > 0 {
		b = appendIDs(append(b, 1), a.Orgs)
	}
	if a.Group != "" {
		b = appendText(append(b, 2), string(a.Group))
	}
	if len(a.Except) > 0 {
		b = appendIDs(append(b, 3), a.Except)
	}
	return b
}

// ParseCBOR is [Parsed]'s.
func (a *Audience) ParseCBOR(p *Parser) {
	for f := p.Fields(); f.Next(); {
		switch f.Key {
		case 1:
			a.Orgs = parseIDs[orgKind](p)
		case 2:
			if a.Group = GroupID(p.text()); a.Group == "" {
				p.Fail()
			}
		case 3:
			a.Except = parseIDs[orgKind](p)
		default:
			p.Fail()
		}
	}
}

func appendIDs[K any](b []byte, ids []ID[K]) []byte {
	b = AppendArray(b, ids)
	for i := range ids {
		b = AppendBytes(b, ids[i][:])
	}
	return b
}

// AppendCBOR is [Appender]'s.
func (r Reader) AppendCBOR(b []byte) []byte {
	return AppendUint(append(AppendField(AppendMap(b, 2), 1, r.Org[:]), 2), r.Epoch)
}

// ParseCBOR is [Parsed]'s.
func (r *Reader) ParseCBOR(p *Parser) {
	f := p.Fields()
	for f.Next() {
		switch f.Key {
		case 1:
			p.Fixed(r.Org[:])
		case 2:
			r.Epoch = p.Uint(math.MaxUint64)
		default:
			p.Fail()
		}
	}
	f.Need(2)
}

// AppendCBOR is [Appender]'s.
func (s ReaderSet) AppendCBOR(b []byte) []byte {
	b = AppendMap(b, 1+Count(len(s.Readers) > 0))
	if len(s.Readers) > 0 {
		b = AppendAll(append(b, 1), s.Readers)
	}
	return AppendField(b, 2, s.Commitment[:])
}

// ParseCBOR is [Parsed]'s.
func (s *ReaderSet) ParseCBOR(p *Parser) {
	f := p.Fields()
	for f.Next() {
		switch f.Key {
		case 1:
			s.Readers = ParseSome(p, ParseOne[Reader])
		case 2:
			p.Fixed(s.Commitment[:])
		default:
			p.Fail()
		}
	}
	f.Need(2, 1)
}

// AppendCBOR is [Appender]'s.
func (s SectionRef) AppendCBOR(b []byte) []byte {
	b = AppendUint(append(AppendMap(b, 3), 1), s.Set)
	b = AppendUint(append(b, 2), s.Length)
	return AppendField(b, 3, s.SHA256[:])
}

// ParseCBOR is [Parsed]'s.
func (s *SectionRef) ParseCBOR(p *Parser) {
	f := p.Fields()
	for f.Next() {
		switch f.Key {
		case 1:
			s.Set = p.Uint(math.MaxUint64)
		case 2:
			s.Length = p.Uint(math.MaxUint64)
		case 3:
			p.Fixed(s.SHA256[:])
		default:
			p.Fail()
		}
	}
	f.Need(3)
}

// AppendCBOR is [Appender]'s.
func (k KeyBody) AppendCBOR(b []byte) []byte {
	b = AppendMap(b, 1+Count(len(k.Custodians) > 0, len(k.Sections) > 0, len(k.Honours) > 0))
	if len(k.Custodians) > 0 {
		b = appendIDs(append(b, 1), k.Custodians)
	}
	b = AppendAll(append(b, 2), k.Sets)
	if len(k.Sections) > 0 {
		b = AppendAll(append(b, 3), k.Sections)
	}
	if len(k.Honours) > 0 {
		b = AppendArray(append(b, 4), k.Honours)
		for _, h := range k.Honours {
			b = AppendBytes(b, h)
		}
	}
	return b
}

// ParseCBOR is [Parsed]'s.
func (k *KeyBody) ParseCBOR(p *Parser) {
	f := p.Fields()
	for f.Next() {
		switch f.Key {
		case 1:
			k.Custodians = parseIDs[orgKind](p)
		case 2:
			k.Sets = ParseArray(p, ParseOne[ReaderSet])
		case 3:
			k.Sections = ParseSome(p, ParseOne[SectionRef])
		case 4:
			k.Honours = ParseSome(p, parseBytes)
		default:
			p.Fail()
		}
	}
	f.Need(4, 1, 3, 4)
}

func parseBytes(p *Parser, to *[]byte) { *to = p.Bytes() }

// AppendCBOR is [Appender]'s.
func (d DataBody) AppendCBOR(b []byte) []byte {
	return AppendAll(append(AppendUint(append(AppendMap(b, 2), 1), d.Key), 2), d.Sections)
}

// ParseCBOR is [Parsed]'s.
func (d *DataBody) ParseCBOR(p *Parser) {
	f := p.Fields()
	for f.Next() {
		switch f.Key {
		case 1:
			d.Key = p.Uint(math.MaxUint64)
		case 2:
			d.Sections = ParseArray(p, ParseOne[SectionRef])
		default:
			p.Fail()
		}
	}
	f.Need(2)
}

// AppendCBOR is [Appender]'s.
func (c Core) AppendCBOR(b []byte) []byte {
	b = AppendMap(b, 12+Count(c.Key != nil, c.Data != nil))
	b = AppendUint(append(b, 1), c.Version)
	b = AppendField(b, 2, c.Network[:])
	b = AppendField(b, 3, c.Author[:])
	b = AppendField(b, 4, c.Node[:])
	b = c.Audience.AppendCBOR(append(b, 5))
	b = AppendUint(append(b, 6), c.Seq)
	b = AppendField(b, 7, c.Prev[:])
	b = AppendUint(append(b, 8), c.Size)
	b = AppendField(b, 9, c.Root[:])
	b = AppendUint(append(b, 10), c.Day)
	b = AppendUint(append(b, 11), c.Expiry)
	b = AppendField(b, 12, c.Nonce[:])
	if c.Key != nil {
		b = c.Key.AppendCBOR(append(b, 13))
	}
	if c.Data != nil {
		b = c.Data.AppendCBOR(append(b, 14))
	}
	return b
}

// ParseCBOR is [Parsed]'s.
func (c *Core) ParseCBOR(p *Parser) {
	f := p.Fields()
	for f.Next() {
		switch f.Key {
		case 1:
			c.Version = p.Uint(math.MaxUint64)
		case 2:
			p.Fixed(c.Network[:])
		case 3:
			p.Fixed(c.Author[:])
		case 4:
			p.Fixed(c.Node[:])
		case 5:
			c.Audience.ParseCBOR(p)
		case 6:
			c.Seq = p.Uint(math.MaxUint64)
		case 7:
			p.Fixed(c.Prev[:])
		case 8:
			c.Size = p.Uint(math.MaxUint64)
		case 9:
			p.Fixed(c.Root[:])
		case 10:
			c.Day = Day(p.Uint(math.MaxUint32))
		case 11:
			c.Expiry = Day(p.Uint(math.MaxUint32))
		case 12:
			p.Fixed(c.Nonce[:])
		case 13:
			c.Key = new(KeyBody)
			c.Key.ParseCBOR(p)
		case 14:
			c.Data = new(DataBody)
			c.Data.ParseCBOR(p)
		default:
			p.Fail()
		}
	}
	f.Need(14, 13, 14)
}

// AppendCBOR is [Appender]'s.
func (e Envelope) AppendCBOR(b []byte) []byte {
	b = AppendMap(b, 2+Count(len(e.Sections) > 0))
	b = AppendBytes(append(b, 1), e.Core)
	b = AppendField(b, 2, e.Signature[:])
	if len(e.Sections) > 0 {
		b = AppendArray(append(b, 3), e.Sections)
		for _, s := range e.Sections {
			b = AppendBytes(b, s)
		}
	}
	return b
}

// ParseCBOR is [Parsed]'s.
func (e *Envelope) ParseCBOR(p *Parser) {
	f := p.Fields()
	for f.Next() {
		switch f.Key {
		case 1:
			e.Core = p.Bytes()
		case 2:
			p.Fixed(e.Signature[:])
		case 3:
			if e.Sections = ParseSome(p, parseBytes); len(e.Sections) > MaxSections {
				p.Fail() // a null is one byte, and takes 24 here
			}
		default:
			p.Fail()
		}
	}
	f.Need(3, 3)
}

// AppendCBOR is [Appender]'s.
func (f Fork) AppendCBOR(b []byte) []byte {
	return f.B.AppendCBOR(append(f.A.AppendCBOR(append(AppendMap(b, 2), 1)), 2))
}

// ParseCBOR is [Parsed]'s.
func (f *Fork) ParseCBOR(p *Parser) {
	fields := p.Fields()
	for fields.Next() {
		switch fields.Key {
		case 1:
			f.A.ParseCBOR(p)
		case 2:
			f.B.ParseCBOR(p)
		default:
			p.Fail()
		}
	}
	fields.Need(2)
}

// AppendCBOR is [Appender]'s.
func (r Range) AppendCBOR(b []byte) []byte {
	return AppendUint(append(AppendUint(append(AppendMap(b, 2), 1), r.From), 2), r.To)
}

// ParseCBOR is [Parsed]'s.
func (r *Range) ParseCBOR(p *Parser) {
	f := p.Fields()
	for f.Next() {
		switch f.Key {
		case 1:
			r.From = p.Uint(math.MaxUint64)
		case 2:
			r.To = p.Uint(math.MaxUint64)
		default:
			p.Fail()
		}
	}
	f.Need(2)
}

// AppendCBOR is [Appender]'s.
func (r Refusal) AppendCBOR(b []byte) []byte {
	b = AppendUint(append(AppendMap(b, 3), 1), r.From)
	return AppendUint(append(AppendUint(append(b, 2), r.To), 3), r.Code)
}

// ParseCBOR is [Parsed]'s.
func (r *Refusal) ParseCBOR(p *Parser) {
	f := p.Fields()
	for f.Next() {
		switch f.Key {
		case 1:
			r.From = p.Uint(math.MaxUint64)
		case 2:
			r.To = p.Uint(math.MaxUint64)
		case 3:
			r.Code = Code(p.Uint(math.MaxUint16))
		default:
			p.Fail()
		}
	}
	f.Need(3)
}

// AppendCBOR is [Appender]'s.
func (r Receipt) AppendCBOR(b []byte) []byte {
	b = AppendMap(b, 7+Count(len(r.Refused) > 0, len(r.Held) > 0))
	b = AppendUint(append(b, 1), r.Version)
	b = AppendField(b, 2, r.Network[:])
	b = AppendField(b, 3, r.Org[:])
	b = AppendField(b, 4, r.Node[:])
	b = AppendField(b, 5, r.Feed[:])
	b = AppendUint(append(b, 6), r.Seq)
	b = AppendField(b, 7, r.Head[:])
	if len(r.Refused) > 0 {
		b = AppendAll(append(b, 8), r.Refused)
	}
	if len(r.Held) > 0 {
		b = AppendAll(append(b, 9), r.Held)
	}
	return b
}

// ParseCBOR is [Parsed]'s.
func (r *Receipt) ParseCBOR(p *Parser) {
	f := p.Fields()
	for f.Next() {
		switch f.Key {
		case 1:
			r.Version = p.Uint(math.MaxUint64)
		case 2:
			p.Fixed(r.Network[:])
		case 3:
			p.Fixed(r.Org[:])
		case 4:
			p.Fixed(r.Node[:])
		case 5:
			p.Fixed(r.Feed[:])
		case 6:
			r.Seq = p.Uint(math.MaxUint64)
		case 7:
			p.Fixed(r.Head[:])
		case 8:
			r.Refused = ParseSome(p, ParseOne[Refusal])
		case 9:
			r.Held = ParseSome(p, ParseOne[Range])
		default:
			p.Fail()
		}
	}
	f.Need(9, 8, 9)
}

// AppendCBOR is [Appender]'s.
func (s SignedReceipt) AppendCBOR(b []byte) []byte {
	return AppendField(AppendBytes(append(AppendMap(b, 2), 1), s.Body), 2, s.Signature[:])
}

// ParseCBOR is [Parsed]'s.
func (s *SignedReceipt) ParseCBOR(p *Parser) {
	f := p.Fields()
	for f.Next() {
		switch f.Key {
		case 1:
			s.Body = p.Bytes()
		case 2:
			p.Fixed(s.Signature[:])
		default:
			p.Fail()
		}
	}
	f.Need(2)
}

// AppendCBOR is [Appender]'s.
func (in Inner) AppendCBOR(b []byte) []byte {
	b = AppendMap(b, 13+Count(in.Staff != "", len(in.Refs) > 0))
	b = AppendField(b, 1, in.Network[:])
	b = AppendField(b, 2, in.Author[:])
	b = AppendField(b, 3, in.Node[:])
	b = AppendField(b, 4, in.Feed[:])
	b = AppendUint(append(b, 5), in.Seq)
	b = AppendField(b, 6, in.Prev[:])
	b = AppendField(b, 7, in.Nonce[:])
	b = AppendUint(append(b, 8), in.Section)
	b = in.Readers.AppendCBOR(append(b, 9))
	b = appendText(append(b, 10), in.Kind)
	b = appendInt(append(b, 11), in.Time)
	if in.Staff != "" {
		b = appendText(append(b, 12), in.Staff)
	}
	if len(in.Refs) > 0 {
		b = appendIDs(append(b, 13), in.Refs)
	}
	b = AppendUint(append(b, 14), in.Length)
	return AppendField(b, 15, in.Hash[:])
}

// ParseCBOR is [Parsed]'s.
func (in *Inner) ParseCBOR(p *Parser) {
	f := p.Fields()
	for f.Next() {
		switch f.Key {
		case 1:
			p.Fixed(in.Network[:])
		case 2:
			p.Fixed(in.Author[:])
		case 3:
			p.Fixed(in.Node[:])
		case 4:
			p.Fixed(in.Feed[:])
		case 5:
			in.Seq = p.Uint(math.MaxUint64)
		case 6:
			p.Fixed(in.Prev[:])
		case 7:
			p.Fixed(in.Nonce[:])
		case 8:
			in.Section = p.Uint(math.MaxUint64)
		case 9:
			in.Readers.ParseCBOR(p)
		case 10:
			in.Kind = p.text()
		case 11:
			in.Time = p.int()
		case 12:
			if in.Staff = p.text(); in.Staff == "" {
				p.Fail()
			}
		case 13:
			in.Refs = parseIDs[recordKind](p)
		case 14:
			in.Length = p.Uint(math.MaxUint64)
		case 15:
			p.Fixed(in.Hash[:])
		default:
			p.Fail()
		}
	}
	f.Need(15, 12, 13)
}
