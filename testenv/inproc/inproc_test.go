package inproc

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

func TestCallsAnswerInVirtualTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := new(Net)
		client := &http.Client{Transport: n, Timeout: 5 * time.Second}
		post := func(url, body string) (int, string, error) {
			resp, err := client.Post(url, "text/plain", strings.NewReader(body))
			if err != nil {
				return 0, "", err
			}
			defer func() { _ = resp.Body.Close() }()
			b, err := io.ReadAll(resp.Body)
			return resp.StatusCode, string(b), err
		}
		if _, _, err := post("http://desk/", ""); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("nobody serves: %v", err)
		}
		url, stop, err := n.Serve("desk", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			b, _ := io.ReadAll(r.Body)
			if string(b) == "slow" {
				time.Sleep(6 * time.Second)
			}
			w.WriteHeader(http.StatusAccepted)
			fmt.Fprintf(w, "%s %s %s", r.Method, r.URL.Path, b)
		}))
		if err != nil {
			t.Fatal(err)
		}
		if status, said, err := post(url+"/calls", "quick"); status != http.StatusAccepted || said != "POST /calls quick" {
			t.Errorf("%d %s %v", status, said, err)
		}
		if _, _, err := post(url, "slow"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("an answer that came too late: %v", err)
		}
		if _, _, err := n.Serve("desk", http.NotFoundHandler()); err == nil {
			t.Error("two serve under one name")
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
		if _, _, err := post(url, ""); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("who has stopped: %v", err)
		}
	})
}

func TestPipesConnect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := new(Net)
		lis, err := n.Listen("mail")
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			c, err := lis.Accept()
			if err != nil {
				t.Error(err)
				return
			}
			fmt.Fprintln(c, "220 hello")
			_ = c.Close()
		}()
		c, err := n.DialContext(t.Context(), "tcp", lis.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		if line, err := bufio.NewReader(c).ReadString('\n'); line != "220 hello\n" {
			t.Errorf("%q %v", line, err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := n.DialContext(ctx, "tcp", "mail:25"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("nobody accepts: %v", err)
		}
		_ = lis.Close()
		if _, err := n.DialContext(t.Context(), "tcp", "mail:25"); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("closed: %v", err)
		}
	})
}
