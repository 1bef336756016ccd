package main

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"troupe/services"
	"troupe/topology"
)

var rewrite = flag.Bool("rewrite", false, "draw the picture in the README anew")

const (
	pictureBegins = "<!-- graph -->\n"
	pictureEnds   = "<!-- /graph -->\n"
)

// TestPictureIsTrue keeps the README's picture what the services make it.
func TestPictureIsTrue(t *testing.T) {
	estate, err := topology.DefaultEstate()
	if err != nil {
		t.Fatal(err)
	}
	contexts, err := services.New(services.Config{Mail: "localhost:25", MailFrom: "orders@localhost", Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	picture := "```mermaid\n" + topology.Mermaid(estate, contexts.All) + "```\n"
	path := filepath.Join("..", "..", "..", "README.md")
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, begins := strings.Cut(string(b), pictureBegins)
	shown, after, ends := strings.Cut(rest, pictureEnds)
	if !begins || !ends {
		t.Fatalf("the README has no place for the picture, between %q and %q", pictureBegins, pictureEnds)
	}
	if *rewrite {
		if err := os.WriteFile(path, []byte(before+pictureBegins+picture+pictureEnds+after), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if shown != picture {
		t.Errorf("the README shows another picture than the services draw: go test ./services/cmd/troupe -rewrite\n%s", cmp.Diff(shown, picture))
	}
}
