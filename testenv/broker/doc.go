// Package broker starts what the estate runs on: a Kafka and a schema registry,
// either embedded in this process (kfake and srfake, real protocols, no
// durability promised) or the real ones, as child processes.
package broker
