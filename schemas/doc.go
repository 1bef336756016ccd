// Package schemas is the published language: every version of every event and
// inbox message as an immutable .avsc file in its owner's folder, and the codec
// that turns structs into bytes and back.
//
// A record on the wire is Confluent's frame (a zero byte, the schema's ID in
// four bytes) and Avro. A producer's struct has every field of the published
// schema. A consumer declares a small struct of what it reads; its reader
// schema is the published one cut down to that struct and resolved against the
// writer's, so fields it does not know cost nothing and break nothing.
package schemas
