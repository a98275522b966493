// Package register is the alliance's one ordered log of membership and key
// operations, as a pure value: operations that people sign, leaves, the rules
// that turn one [State] into the next, and the checkpoints that make a state
// count. It reads no clock, no disk and no network; time is data.
package register
