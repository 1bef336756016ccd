module troupe

go 1.26.0

require (
	github.com/cenkalti/backoff/v5 v5.0.3 // pauses between retries of effects
	github.com/cockroachdb/pebble/v2 v2.1.7 // state tables: LSM in pure Go that takes in sorted tables, and merges in bounded memory
	github.com/emersion/go-smtp v0.25.1 // the mail server of the simulated world
	github.com/goccy/go-yaml v1.19.2 // estate, policies, definitions: strict, with line numbers in errors
	github.com/google/go-cmp v0.7.0 // differences in tests
	github.com/linkedin/goavro/v2 v2.15.0 // generic Avro, and a second opinion on golden bytes
	github.com/oklog/run v1.2.0 // parts of a process that end together
	github.com/prometheus/client_golang v1.25.0 // metrics
	github.com/spf13/cobra v1.10.2 // the command line
	github.com/spf13/pflag v1.0.9 // flags, and their environment variables
	github.com/twmb/avro v1.9.0 // Avro: schemas, their resolution, and whatever is not compiled (decision 15)
	github.com/twmb/franz-go v1.22.3 // the Kafka client: transactions, cooperative groups, no cgo
	github.com/twmb/franz-go/pkg/kadm v1.20.0 // topics and offsets
	github.com/twmb/franz-go/pkg/kfake v0.0.0-20260918054303-01f206a7e32c // the embedded broker: the real protocol, with faults
	github.com/twmb/franz-go/pkg/kmsg v1.15.1 // raw requests for the balancer, guards and their tests
	github.com/twmb/franz-go/pkg/sr v1.8.0 // schema registry and framing
	github.com/wneessen/go-mail v0.8.1 // mail over SMTP
	golang.org/x/sync v0.24.0 // errgroup, singleflight
	pgregory.net/rapid v1.3.0 // property tests that shrink
)

require golang.org/x/sys v0.48.0

require (
	github.com/DataDog/zstd v1.5.7 // indirect
	github.com/RaduBerinde/axisds v0.1.0 // indirect
	github.com/RaduBerinde/btreemap v0.0.0-20250419174037-3d62b7205d54 // indirect
	github.com/beorn7/perks v1.0.1 // indirect
	github.com/cespare/xxhash/v2 v2.3.0 // indirect
	github.com/cockroachdb/crlib v0.0.0-20241112164430-1264a2edc35b // indirect
	github.com/cockroachdb/errors v1.11.3 // indirect
	github.com/cockroachdb/logtags v0.0.0-20230118201751-21c54148d20b // indirect
	github.com/cockroachdb/redact v1.1.5 // indirect
	github.com/cockroachdb/swiss v0.0.0-20260820225851-333444432258 // indirect
	github.com/cockroachdb/tokenbucket v0.0.0-20230807174530-cc333fc44b06 // indirect
	github.com/emersion/go-sasl v0.0.0-20241020182733-b788ff22d5a6 // indirect
	github.com/getsentry/sentry-go v0.27.0 // indirect
	github.com/gogo/protobuf v1.3.2 // indirect
	github.com/golang/snappy v0.0.5-0.20231225225746-43d5d4cd4e0e // indirect
	github.com/inconshreveable/mousetrap v1.1.0 // indirect
	github.com/klauspost/compress v1.20.3 // indirect
	github.com/kr/pretty v0.3.1 // indirect
	github.com/kr/text v0.2.0 // indirect
	github.com/minio/minlz v1.0.1-0.20250507153514-87eb42fe8882 // indirect
	github.com/munnerz/goautoneg v0.0.0-20191010083416-a7dc8b61c822 // indirect
	github.com/pierrec/lz4/v4 v4.1.33 // indirect
	github.com/pkg/errors v0.9.1 // indirect
	github.com/prometheus/client_model v0.6.3 // indirect
	github.com/prometheus/common v0.72.0 // indirect
	github.com/prometheus/procfs v0.22.0 // indirect
	github.com/rogpeppe/go-internal v1.14.1 // indirect
	golang.org/x/crypto v0.54.0 // indirect
	golang.org/x/exp v0.0.0-20230626212559-97b1e661b5df // indirect
	golang.org/x/text v0.42.0 // indirect
	google.golang.org/protobuf v1.36.12 // indirect
)
