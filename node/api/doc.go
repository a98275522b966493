// Package api is the node's HTTP/JSON API, under /api/v1, and its client. It
// owns the HTTP server, the errors' form and the routing; what each route does
// is given to it by package node with [Route], which also writes it into the
// OpenAPI 3.1 description at /api/v1/openapi.json.
//
// The server listens on a Unix socket of mode 0600 in the node's folder:
// whoever may open the socket is the operator. A request holds at most
// [MaxRequest] bytes.
//
// An error is an RFC 9457 problem (application/problem+json) whose "type" is
// one of the closed set of [Kind]; "detail" is a sentence for a person: what
// happened, what was kept, what to do next.
package api
