// Package topology is the map of the estate: which topics exist, who owns them
// and who may write them (estate.yaml), and what a service is.
//
// A Service is a value. It declares what it reads, writes, keeps and does to
// the world, so it can be checked before it starts, drawn, and handed to a
// runner; a step is a pure function of a row, an event and a Turn. Kafka is
// nowhere in here: package stream runs services, package table keeps their
// state, package clock tells the time.
package topology
