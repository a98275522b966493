package seal

// One section of testPlace. Wrap key and commitment were computed by a second
// program, in another language, from the package's description.
const (
	vectorWrapKey    = "63d0d4af753e78a6e022e410722682246bc76cdc3b4a76bb3e3f1c873b0c575d"
	vectorCommitment = "78067fef275bda75a280efd0ac3001a3fda52efbf4cfec93a027dc54f52b7dc2"
	vectorSection    = `YWdlLWVuY3J5cHRpb24ub3JnL3YxCi0+IGFsbGlhbmNlL3YxL2ZlZWQta2V5ClRybnhXRW5VcERp
N2R1Y3QyOTQvNUVnRjFPZVBUM2hDN1lERm1aRmhQV2MKLS0tIHlYYng1dEtJR2ZTdERsdUhDYjd0
RW1zb0dZam0vS1hTcXBBcG4zeWJGZk0KHkNw9uCjQdtxSXsEl2JYJWg3doX5mDVbuX4TtCv7N7+/
CEKsQgML3LdzY968BJ2nKqbGog`
)
