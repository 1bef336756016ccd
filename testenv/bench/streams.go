package main

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"troupe/schemas"
	"troupe/testenv/broker"
)

// The peer, fetched with its jars once and compiled when it is run.
//
//go:embed peers/StreamsJoin.java
var streamsSource string

//go:embed peers/pom.xml
var streamsPom string

// streams is the same join on Kafka Streams. A result counts only if it found
// the orders that differ.
func (s *sitting) streams(p place, orders int, store string, commitMillis, cacheMiB int) func(context.Context) (float64, error) {
	return func(ctx context.Context) (rate float64, err error) {
		dir, err := os.MkdirTemp("", "troupe-streams-")
		if err != nil {
			return 0, fmt.Errorf("make folder of the peer: %w", err)
		}
		defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
		args := []string{
			strings.Join(p.Brokers, ","), p.Prefix, strconv.Itoa(2 * orders), strconv.Itoa(p.Workers), store, strconv.Itoa(commitMillis), strconv.Itoa(cacheMiB),
		}
		catalogue, err := schemas.Load()
		if err != nil {
			return 0, err
		}
		for _, event := range []string{"ShipmentDispatched", "InvoiceIssued"} {
			file := filepath.Join(dir, event+".avsc")
			if err := os.WriteFile(file, []byte(catalogue.Type(event).Latest().Text), 0o600); err != nil {
				return 0, fmt.Errorf("write schema: %w", err)
			}
			args = append(args, file)
		}
		if err := p.make(ctx, s.admin, "streams.differ", nil); err != nil {
			return 0, err
		}
		program := broker.Program{Name: "StreamsJoin", Pom: streamsPom, Source: streamsSource, Options: []string{"-Xmx3g"}, Log: s.log}
		said, err := program.Run(ctx, trialLimit, append(args, filepath.Join(dir, "state"))...)
		if err != nil {
			return 0, err
		}
		if rate, err = verdict(said, orders); err != nil {
			return 0, err
		}
		return rate, s.forgetAll(ctx, p.topic("streams-")) // its changelog
	}
}

func verdict(said string, orders int) (rate float64, err error) {
	_, line, ok := strings.Cut(said, "result ")
	var found int
	if _, err := fmt.Sscanf(line, "%f %d", &rate, &found); !ok || err != nil {
		return 0, fmt.Errorf("read what the peer said: %q", said)
	}
	if many, few := differ(orders); found != many+few {
		return 0, fmt.Errorf("the peer found %d orders that differ, there are %d", found, many+few)
	}
	return rate, nil
}
