package world

import (
	"net"
	"net/http"
)

// Network is where the partners can be reached, and the way on which they reach
// the estate.
type Network interface {
	http.RoundTripper // of calls to the estate
	// Serve lets a handler answer under a base URL, until stop.
	Serve(name string, h http.Handler) (url string, stop func() error, err error)
	// Listen is for what is not HTTP. The listener's address is told to the estate.
	Listen(name string) (net.Listener, error)
}

// ports is a Network of free ports of this machine.
type ports struct{ http.RoundTripper }

// callsAtOnce are kept open to a host of the estate: what falls due within one business
// minute is called at once, and a connection that is closed and dialled again costs more
// than the call.
const callsAtOnce = 1024

func newPorts() ports { return ports{&http.Transport{MaxIdleConnsPerHost: callsAtOnce}} }

func (ports) Listen(string) (net.Listener, error) { return net.Listen("tcp", "127.0.0.1:0") }

func (p ports) Serve(name string, h http.Handler) (string, func() error, error) {
	lis, err := p.Listen(name)
	if err != nil {
		return "", nil, err
	}
	s := &http.Server{Handler: h, ReadHeaderTimeout: callTimeout}
	go func() { _ = s.Serve(lis) }() // ends with stop
	return "http://" + lis.Addr().String(), s.Close, nil
}
