package broker

import (
	"bufio"
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"
)

// echo answers each line with itself.
func echo(t *testing.T) string {
	t.Helper()
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = lis.Close() })
	go func() {
		for {
			c, err := lis.Accept()
			if err != nil {
				return
			}
			go func() { _, _ = io.Copy(c, c) }()
		}
	}()
	return lis.Addr().String()
}

func TestWay(t *testing.T) {
	to := echo(t)
	ways, err := NewWays([]string{to})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := ways.Close(); err != nil {
			t.Error(err)
		}
	})
	dial := Dialer(ways.Addrs())
	c, err := dial(t.Context(), "tcp", to)
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewReader(c)
	say := func(within time.Duration) error {
		t.Helper()
		if err := c.SetDeadline(time.Now().Add(within)); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Write([]byte("x\n")); err != nil {
			return err
		}
		_, err := lines.ReadString('\n')
		return err
	}
	if err := say(time.Minute); err != nil {
		t.Fatal("open:", err)
	}
	const delay = 50 * time.Millisecond
	ways.Set(Passage{Delay: delay})
	began := time.Now()
	if err := say(time.Minute); err != nil || time.Since(began) < 2*delay {
		t.Errorf("slow: an answer after %v, %v; want one after twice %v", time.Since(began), err, delay)
	}
	ways.Set(Passage{Silent: true})
	if err := say(delay); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("silent: %v, want nothing at all", err)
	}
	ways.Set(Passage{})
	if err := say(time.Minute); err != nil {
		t.Error("what was held back comes when the way is open again:", err)
	}
	if _, err := lines.ReadString('\n'); err != nil {
		t.Error("what was said last was lost:", err)
	}
	ways.Set(Passage{Cut: true})
	if err := say(time.Minute); err == nil {
		t.Error("cut: the connection lives")
	}
	if c, err := dial(t.Context(), "tcp", to); err == nil {
		if _, err := c.Read(make([]byte, 1)); err == nil {
			t.Error("cut: a new connection lives")
		}
	}
}
