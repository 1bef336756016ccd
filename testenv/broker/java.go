package broker

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

const (
	kafkaJava    = 17 // what Kafka's brokers ask for
	apicurioJava = 25 // what Apicurio is compiled for: an older one refuses its classes
	javaLimit    = 20 * time.Second
)

// findJava is the first Java that is new enough. The default Java of a machine
// often is not, while a newer one stands beside it.
func findJava(ctx context.Context, atLeast int) (string, error) {
	var seen []string
	for _, path := range javas() {
		v, err := javaVersion(ctx, path)
		if err != nil {
			continue // a dead link, a stub: not a Java
		}
		if v >= atLeast {
			return path, nil
		}
		seen = append(seen, fmt.Sprintf("%s (%d)", path, v))
	}
	found := "none found"
	if len(seen) > 0 {
		found = "found only " + strings.Join(seen, ", ")
	}
	return "", fmt.Errorf("find Java %d or newer: %s; install a JDK (Temurin %d, say) and put its bin on PATH or set JAVA_HOME", atLeast, found, atLeast)
}

// javas are the places where a Java may be, the user's own choice first.
func javas() []string {
	var paths []string
	if home := os.Getenv("JAVA_HOME"); home != "" {
		paths = append(paths, filepath.Join(home, "bin", "java"))
	}
	if path, err := exec.LookPath("java"); err == nil {
		paths = append(paths, path)
	}
	for _, pattern := range []string{"/usr/lib/jvm/*/bin/java", "/opt/*/bin/java", "/Library/Java/JavaVirtualMachines/*/Contents/Home/bin/java"} {
		more, err := filepath.Glob(pattern)
		if err == nil {
			paths = append(paths, more...)
		}
	}
	return paths
}

func javaVersion(ctx context.Context, path string) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, javaLimit)
	defer cancel()
	out, err := exec.CommandContext(ctx, path, "-version").CombinedOutput()
	if err != nil {
		return 0, fmt.Errorf("ask %s for its version: %w", path, err)
	}
	return majorVersion(string(out))
}

// majorVersion reads `openjdk version "25.0.3" …`; "25-ea" is 25, "1.8.0" is 1
// and so too old for anything here.
func majorVersion(said string) (int, error) {
	_, rest, _ := strings.Cut(said, `version "`)
	end := strings.IndexFunc(rest, func(r rune) bool { return r < '0' || r > '9' })
	v, err := strconv.Atoi(rest[:max(end, 0)])
	if err != nil {
		return 0, fmt.Errorf("read Java version from %q: %w", said, err)
	}
	return v, nil
}

// javaHome is what Maven's start script goes by; without it a Java that is not
// on PATH would not do.
func javaHome(java string) string {
	path, err := filepath.EvalSymlinks(java)
	if err != nil {
		path = java
	}
	return filepath.Dir(filepath.Dir(path))
}
