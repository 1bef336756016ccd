package broker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"
)

// Program is a Java program of one source file, to be run beside Kafka: what the
// product is measured against, for one.
type Program struct {
	Name    string // of the class, and of its jars in the cache
	Pom     string // names the jars, and the plugin that fetches them
	Source  string
	Options []string // of the virtual machine
	Log     io.Writer
}

// Run runs the program to its end, in a folder of its own that is gone
// afterwards, and returns what it said. A limit bounds it; it dies with us.
func (p Program) Run(ctx context.Context, limit time.Duration, args ...string) (said string, err error) {
	java, err := findJava(ctx, kafkaJava)
	if err != nil {
		return "", err
	}
	jars, err := (fetcher{java: java, pom: p.Pom, log: p.Log}).jars(ctx, p.Name)
	if err != nil {
		return "", err
	}
	s, err := newScratch(os.TempDir(), "troupe-program-")
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, s.remove()) }()
	source, out := filepath.Join(s.dir, p.Name+".java"), filepath.Join(s.dir, "out")
	for name, text := range map[string]string{source: p.Source, filepath.Join(s.dir, "log4j2.xml"): quiet} {
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			return "", fmt.Errorf("write %s: %w", p.Name, err)
		}
	}
	argv := append([]string{java}, p.Options...)
	argv = append(argv, "-Djava.io.tmpdir="+s.dir, "-Dlog4j2.configurationFile="+filepath.Join(s.dir, "log4j2.xml"), "-cp", filepath.Join(jars, "*"), source)
	c, err := startChild(p.Name, out, nil, append(argv, args...)...)
	if err != nil {
		return "", err
	}
	if err := c.finish(ctx, limit); err != nil {
		return "", err
	}
	text, err := os.ReadFile(out)
	if err != nil {
		return "", fmt.Errorf("read what %s said: %w", p.Name, err)
	}
	return string(text), nil
}

// quiet lets a program say only what goes wrong.
const quiet = `<Configuration status="WARN">
  <Appenders><Console name="out"><PatternLayout pattern="%d %p %m (%c)%n"/></Console></Appenders>
  <Loggers><Root level="ERROR"><AppenderRef ref="out"/></Root></Loggers>
</Configuration>
`
