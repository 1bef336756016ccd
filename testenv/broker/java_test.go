package broker

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestMajorVersion(t *testing.T) {
	for said, want := range map[string]int{
		`openjdk version "25.0.3" 2026-04-21 LTS`:                25,
		"Picked up JAVA_TOOL_OPTIONS: -Xmx1g\nversion \"25-ea\"": 25,
		`java version "1.8.0_402"`:                               1,
		`openjdk version "26"`:                                   26,
	} {
		if got, err := majorVersion(said); err != nil || got != want {
			t.Errorf("%q: %d, %v", said, got, err)
		}
	}
	if _, err := majorVersion("command not found"); err == nil {
		t.Error("no version was read as one")
	}
}

// TestMissing: what is not there is named, with what to install.
func TestMissing(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	t.Setenv("JAVA_HOME", "")
	t.Setenv("TROUPE_CACHE", t.TempDir())
	if _, err := findJava(t.Context(), 999); err == nil || !strings.Contains(err.Error(), "install a JDK") {
		t.Errorf("no Java: %v", err)
	}
	_, err := fetcher{java: "java", pom: pom, log: t.Output()}.kafka(t.Context())
	if err == nil || !strings.Contains(err.Error(), "install Apache Maven") {
		t.Errorf("no mvn: %v", err)
	}
	left, err := os.ReadDir(os.Getenv("TROUPE_CACHE"))
	if err != nil || len(left) > 0 {
		t.Errorf("a fetch that failed left %v, %v", left, err)
	}
}

// TestScratch: what a killed process left goes, what a living one uses stays.
func TestScratch(t *testing.T) {
	parent := t.TempDir()
	mine, err := newScratch(parent, "x-")
	if err != nil {
		t.Fatal(err)
	}
	dead, err := newScratch(parent, "x-")
	if err != nil {
		t.Fatal(err)
	}
	if dead.lock == nil {
		t.Skip("this system has no locks that go with a process")
	}
	if err := dead.lock.Close(); err != nil { // as the kernel does
		t.Fatal(err)
	}
	third, err := newScratch(parent, "x-")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(dead.dir); err == nil {
		t.Error("an abandoned folder is still there")
	}
	for _, s := range []*scratch{mine, third} {
		if _, err := os.Stat(filepath.Join(s.dir, lockName)); err != nil {
			t.Errorf("a folder in use is gone: %v", err)
		}
		if err := s.remove(); err != nil {
			t.Error(err)
		}
	}
}
