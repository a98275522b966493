// Package crypto is the bottom of the house: labelled hashes and labelled
// Ed25519 signatures. Bytes in, bytes out; no clock, no disk, no network.
//
// Every hash and every signature in the alliance is made for one purpose,
// named by a [Label], and for one network, named by its network ID. A value
// made under one label or for one network is meaningless under another, so a
// receipt can never be replayed as a record, nor a trial network's approval on
// the live one.
//
// # Encodings
//
// A labelled hash is
//
//	SHA-256( u8(len(prefix+label)) ‖ prefix+label ‖ network[32] ‖ u32(len(part)) ‖ part ‖ … )
//
// with prefix "alliance/v1/", lengths big-endian, and as many parts as the
// place that uses the label says. A hash that belongs to no network (the
// network ID itself, key IDs) takes 32 zero bytes as network.
//
// A labelled signature is Ed25519 (RFC 8032) over
//
//	prefix+label ‖ 0x00 ‖ network[32] ‖ message
//
// Labels hold no 0x00 byte, so no label's message can be read as another's.
//
// # Points
//
// RFC 8032 verification accepts public keys of small order, under which one
// signature verifies for every message. [ParsePublicKey] refuses those and
// every non-canonical encoding; it is called wherever a key enters.
package crypto
