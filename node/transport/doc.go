// Package transport is the one place that knows libp2p. It carries bytes
// between nodes of the alliance, and decides who may speak at all.
//
// # Connections
//
// A node listens with QUIC v1 and with TCP + TLS 1.3 (libp2p's own TLS
// handshake, yamux above it) on one port number. Noise, plain text, relays,
// peer discovery, identify and address books from strangers do not exist here.
// Key agreement is X25519MLKEM768 where both ends offer it. A node's transport
// key (Ed25519) is its libp2p peer ID; a peer with any other type of key is
// refused.
//
// A connection is admitted only if the [Directory] names the peer's key as an
// active node at that moment, whoever dialled. [Transport.Recheck] closes what
// the directory no longer names.
//
// # Streams
//
// A stream begins with multistream-select of its protocol, and then carries
// frames: a length of four bytes, big-endian, and as many bytes. A frame that
// is longer than its protocol allows ends the stream, and costs the sender a
// pause in which its new streams of that protocol are refused.
//
// # Hello
//
// The dialler opens /alliance/hello/1 as the first stream. It sends a hello,
// the listener answers with its own or with a refusal, and the dialler sends
// one empty frame if it accepts that. Until then, and at most 5 s, no other
// stream is served; then the connection is closed. A hello is deterministic
// CBOR, at most 64 KiB:
//
//	{1: network ID, 2: node ID, 3: oldest version spoken, 4: newest version spoken,
//	 5: what the register's follower wants the other to know, 6: refusal}
//
// A refusal is 1 another network, 2 the node ID is not the key's, 3 no common
// version, 4 the rest was not accepted; 0 or absent is none.
//
// # Calls
//
// On a protocol of calls, the opener of a stream asks and the other end
// answers, in any order. A frame is
//
//	u8 kind ‖ u32 id ‖ body
//
// with kind 1 request, 2 answer, 3 failure (body: u8 code, u32 milliseconds to
// wait before another try) and 4 cancel (empty body). Ids are chosen by the
// asker; one whose answer is still to come is not used again. The codes are 1 refused, 2 not
// found, 3 busy, 4 invalid, 5 internal; nothing else about an error crosses.
//
// # Quotas
//
// Every peer has one token bucket of bytes and one of frames for all that it
// sends; when they are empty its streams are read no further, so that its own
// sends wait. [Transport.Charge] takes tokens for junk.
package transport
