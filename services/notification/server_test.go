package notification

import (
	"errors"
	"io"
	"net"
	"sync"
	"testing"

	"github.com/emersion/go-smtp"
)

// server is a real SMTP server in this process, with the faults of one.
type server struct {
	mu                      sync.Mutex
	mails                   []string
	sender, recipient, data error  // what it answers to MAIL, RCPT and the mail's end
	cut                     string // hangs up instead of answering: RCPT or DATA
	calls                   int
}

func (s *server) NewSession(c *smtp.Conn) (smtp.Session, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls++
	return &session{s, c.Conn()}, nil
}

func (s *server) taken() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mails
}

func (s *server) called() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls
}

type session struct {
	*server
	conn net.Conn
}

func (*session) Reset()                                 {}
func (*session) Logout() error                          { return nil }
func (s *session) Mail(string, *smtp.MailOptions) error { return s.sender }

func (s *session) Rcpt(string, *smtp.RcptOptions) error {
	if s.cut == "RCPT" {
		return s.conn.Close()
	}
	return s.recipient
}

func (s *session) Data(r io.Reader) error {
	b, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	if s.data != nil {
		return s.data
	}
	s.mu.Lock()
	s.mails = append(s.mails, string(b))
	s.mu.Unlock()
	if s.cut == "DATA" {
		return s.conn.Close()
	}
	return nil
}

func (s *server) start(t *testing.T) (addr string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := smtp.NewServer(s)
	srv.ErrorLog = quiet{}
	done := make(chan error, 1)
	go func() { done <- srv.Serve(l) }()
	t.Cleanup(func() {
		// The listener first: Serve may not have told srv of it yet.
		_ = l.Close()
		_ = srv.Close()
		if err := <-done; err != nil && !errors.Is(err, smtp.ErrServerClosed) && !errors.Is(err, net.ErrClosed) {
			t.Errorf("serve: %v", err)
		}
	})
	return l.Addr().String()
}

// quiet is for a server whose connections break on purpose.
type quiet struct{}

func (quiet) Printf(string, ...any) {}
func (quiet) Println(...any)        {}
