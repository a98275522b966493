package protocol

import "slices"

// Entitlement is what one organisation may get of one record.
type Entitlement struct {
	Core     bool   // the core and its signature
	sections uint32 // bit i: section i
}

// Section reports whether section i may be had.
func (e Entitlement) Section(i int) bool { return i >= 0 && i < 32 && e.sections&(1<<i) != 0 }

// Any reports whether any section may be had.
func (e Entitlement) Any() bool { return e.sections != 0 }

// Entitles is the one place that decides who may have what of a record. It
// takes the register, the feed's chain, the key record that the record is
// under (a key record is its own), the record's core and state, and the
// organisation that asks or that would be sent to:
//
//   - author and custodians under that key: everything;
//   - an organisation of the audience: the core, and the sections whose reader
//     set names it (outside set 0 that is none);
//   - one that was or became custodian under another key: the core, up to the
//     key record that ended its last custody;
//   - anyone else: nothing.
//
// A refused record gives nobody a section. A suspended or revoked organisation
// gets nothing.
func Entitles(m Members, c *Chain, key *KeyLink, core *Core, state State, org OrgID) (e Entitlement) {
	now, ok := m.OrgAt(org, m.Size())
	if !ok || now.Status != Active {
		return e
	}
	all := uint32(1)<<len(core.Sections()) - 1
	switch {
	case org == core.Author, state != Refused && key != nil && slices.Contains(key.Custodians, org):
		e = Entitlement{Core: true, sections: all}
	case core.Audience.has(m, org):
		e.Core = true
		if key == nil {
			break
		}
		for i, ref := range core.Sections() {
			if ref.Set < uint64(len(key.Sets)) && (core.Audience.Group != "" || key.Sets[ref.Set].Has(org)) {
				e.sections |= 1 << i
			}
		}
	default:
		e.Core = c.keptBy(org, core.Seq)
	}
	if state == Refused {
		e.sections = 0
	}
	return e
}

// EntitledFeed reports whether an organisation may know of a feed at all, and
// up to which seq it may have cores; 0 for not at all.
func EntitledFeed(m Members, c *Chain, org OrgID) uint64 {
	now, ok := m.OrgAt(org, m.Size())
	if !ok || now.Status != Active {
		return 0
	}
	if org == c.Author || c.Audience.has(m, org) {
		return c.Seq
	}
	for _, k := range c.Custody {
		if k.Org == org {
			if k.End == 0 {
				return c.Seq
			}
			return k.End - 1
		}
	}
	return 0
}

func (c *Chain) keptBy(org OrgID, seq uint64) bool {
	return slices.ContainsFunc(c.Custody, func(k Custody) bool { return k.Org == org && (k.End == 0 || seq < k.End) })
}

func (a Audience) has(m Members, org OrgID) bool {
	if a.Group != "" {
		return m.InGroup(a.Group, org, m.Size()) && !slices.Contains(a.Except, org)
	}
	_, ok := slices.BinarySearchFunc(a.Orgs, org, OrgID.Compare)
	return ok
}
