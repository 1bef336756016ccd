package broker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/sr"
)

const (
	apicurioStartLimit = 2 * time.Minute // 8 s alone on two cores; a test machine may be busy
	apicurioStopLimit  = 10 * time.Second
	apicurioHeap       = "-Xmx512m"
)

// ApicurioConfig says where a real registry keeps its schemas.
type ApicurioConfig struct {
	DataDir string    // "": in memory, and a temporary folder for its log, removed on Close
	Log     io.Writer // what is being done, in words; nil: nothing is said
}

// Apicurio is a real registry, a child process on loopback ports.
type Apicurio struct {
	URL string // of its Confluent-compatible API, for sr.URLs

	child *child
	temp  *scratch
	close sync.Once
}

// StartApicurio returns once the registry refuses incompatible schemas; ctx
// bounds the start, not the registry's life.
func StartApicurio(ctx context.Context, c ApicurioConfig) (_ *Apicurio, err error) {
	if c.Log == nil {
		c.Log = io.Discard
	}
	java, err := findJava(ctx, apicurioJava)
	if err != nil {
		return nil, fmt.Errorf("start Apicurio: %w", err)
	}
	app, err := fetcher{java: java, pom: pom, log: c.Log}.apicurio(ctx)
	if err != nil {
		return nil, fmt.Errorf("start Apicurio: %w", err)
	}
	dir, temp, err := folder(c.DataDir, "troupe-apicurio-")
	if err != nil {
		return nil, fmt.Errorf("start Apicurio: %w", err)
	}
	a := &Apicurio{temp: temp}
	defer func() {
		if err != nil {
			err = errors.Join(err, a.Close())
		}
	}()
	ports, err := freePorts(2)
	if err != nil {
		return nil, fmt.Errorf("start Apicurio: %w", err)
	}
	a.URL = fmt.Sprintf("http://127.0.0.1:%d/apis/ccompat/v7", ports[0])
	fmt.Fprintf(c.Log, "starting Apicurio %s on %s\n", apicurioVersion, a.URL)
	argv := append([]string{java}, apicurioFlags(ports, c.DataDir != "", dir)...)
	argv = append(argv, "-jar", filepath.Join(app, "quarkus-run.jar"))
	if a.child, err = startChild("Apicurio", filepath.Join(dir, "apicurio.log"), nil, argv...); err != nil {
		return nil, err
	}
	cl, err := sr.NewClient(sr.URLs(a.URL))
	if err != nil {
		return nil, fmt.Errorf("start Apicurio: %w", err)
	}
	if err := a.child.await(ctx, apicurioStartLimit, func(ctx context.Context) error { return enforce(ctx, cl) }); err != nil {
		return nil, err
	}
	return a, nil
}

func apicurioFlags(ports []int, keep bool, dir string) []string {
	flags := []string{
		apicurioHeap,
		"-Dquarkus.http.host=127.0.0.1", fmt.Sprintf("-Dquarkus.http.port=%d", ports[0]),
		"-Dquarkus.management.host=127.0.0.1", fmt.Sprintf("-Dquarkus.management.port=%d", ports[1]),
	}
	if keep {
		// Records that outlive the registry would name IDs that nobody knows.
		flags = append(flags, "-Dapicurio.datasource.url=jdbc:h2:file:"+filepath.Join(dir, "schemas"))
	}
	return flags
}

// enforce sets the rule without which Apicurio takes every schema, and reads it
// back: an answer with 200 is not yet a rule.
func enforce(ctx context.Context, cl *sr.Client) error {
	if _, err := cl.Subjects(ctx); err != nil {
		return fmt.Errorf("list subjects: %w", err)
	}
	want := sr.SetCompatibility{Level: sr.CompatFullTransitive}
	for _, r := range cl.SetCompatibility(ctx, want) {
		if r.Err != nil {
			return fmt.Errorf("set compatibility: %w", r.Err)
		}
	}
	for _, r := range cl.Compatibility(ctx) {
		if r.Err != nil {
			return fmt.Errorf("read compatibility: %w", r.Err)
		}
		if r.Level != want.Level {
			return fmt.Errorf("set compatibility: it is %v, not %v", r.Level, want.Level)
		}
	}
	return nil
}

// Close stops the registry. A second call does nothing.
func (a *Apicurio) Close() (err error) {
	a.close.Do(func() {
		if a.child != nil {
			err = a.child.stop(apicurioStopLimit)
		}
		err = errors.Join(err, a.temp.remove())
	})
	return err
}
