package virtual

import (
	"errors"
	"io"
	"net"
	"testing"
	"testing/synctest"
)

// TestBrokerAnswersWhoIsGone: that a client is gone is told after the answer to it,
// or once the broker hangs up itself.
func TestBrokerAnswersWhoIsGone(t *testing.T) {
	for name, settle := range map[string]func(*patient){
		"answered": func(p *patient) { _, _ = p.Write([]byte("yes")) },
		"closed":   func(p *patient) { _ = p.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client, server := net.Pipe()
				p := newPatient(server)
				go func() {
					_, _ = client.Write([]byte("?"))
					_ = client.Close()
				}()
				if _, err := p.Read(make([]byte, 1)); err != nil {
					t.Fatal(err)
				}
				var told error
				go func() { _, told = p.Read(make([]byte, 1)) }()
				synctest.Wait()
				if told != nil {
					t.Errorf("before the answer it is told %v", told)
				}
				settle(p)
				synctest.Wait()
				if !errors.Is(told, io.EOF) {
					t.Errorf("after the answer it is told %v", told)
				}
			})
		})
	}
}
