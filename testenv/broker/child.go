package broker

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"time"
)

const (
	pollEvery  = 100 * time.Millisecond // between two looks at a child that starts
	probeLimit = 3 * time.Second        // for one look: a node that accepts but does not answer is not ready
	goneLimit  = 10 * time.Second       // for the kernel to reap after SIGKILL
	tailBytes  = 3000                   // of a log, in an error
)

// child is a process of ours and the file that holds what it says.
type child struct {
	name string
	log  string
	cmd  *exec.Cmd
	gone chan struct{} // closed when it has ended
}

// startChild appends to the log, so that a restart does not wipe out why the
// first run ended.
func startChild(name, log string, env []string, argv ...string) (*child, error) {
	out, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, fmt.Errorf("open log of %s: %w", name, err)
	}
	defer func() { _ = out.Close() }() // the child has its own copy
	c := &child{name: name, log: log, gone: make(chan struct{})}
	c.cmd = exec.Command(argv[0], argv[1:]...)
	c.cmd.Env = append(os.Environ(), env...)
	c.cmd.Stdout, c.cmd.Stderr = out, out
	tie(c.cmd)
	started := make(chan error, 1)
	go c.run(started)
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	return c, nil
}

// run holds on to its thread for as long as the child lives: the death signal
// is sent when the thread that started the child ends, not when the process
// does, and the Go runtime may end any thread that is nobody's.
func (c *child) run(started chan<- error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	err := c.cmd.Start()
	started <- err
	if err != nil {
		return
	}
	_ = c.cmd.Wait() // how it ended is in ProcessState
	close(c.gone)
}

func (c *child) running() bool {
	select {
	case <-c.gone:
		return false
	default:
		return true
	}
}

// kill returns once the process is no more, so that its ports and file locks
// are free.
func (c *child) kill() error {
	if !c.running() {
		return nil
	}
	if err := c.cmd.Process.Kill(); err != nil && c.running() {
		return fmt.Errorf("kill %s: %w", c.name, err)
	}
	select {
	case <-c.gone:
		return nil
	case <-time.After(goneLimit):
		return fmt.Errorf("kill %s: still there after %v", c.name, goneLimit)
	}
}

// stop asks, waits, and kills.
func (c *child) stop(limit time.Duration) error {
	if !c.running() {
		return nil
	}
	if err := c.cmd.Process.Signal(syscall.SIGTERM); err == nil {
		select {
		case <-c.gone:
			return nil
		case <-time.After(limit):
		}
	}
	return c.kill()
}

// finish waits for a child that ends by itself.
func (c *child) finish(ctx context.Context, limit time.Duration) error {
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("not done after %v", limit))
	defer cancel()
	select {
	case <-c.gone:
	case <-ctx.Done():
		_ = c.kill() // the error that matters is why
		return fmt.Errorf("run %s: %w%s", c.name, context.Cause(ctx), c.tail())
	}
	if !c.cmd.ProcessState.Success() {
		return fmt.Errorf("run %s: %v%s", c.name, c.cmd.ProcessState, c.tail())
	}
	return nil
}

// await asks check until it is content, the child has ended, or time is up.
func (c *child) await(ctx context.Context, limit time.Duration, check func(context.Context) error) error {
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("not ready after %v", limit))
	defer cancel()
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		probe, done := context.WithTimeout(ctx, probeLimit)
		err := check(probe)
		done()
		if err == nil {
			return nil
		}
		select {
		case <-c.gone:
			return fmt.Errorf("start %s: it ended: %v%s", c.name, c.cmd.ProcessState, c.tail())
		case <-ctx.Done():
			return fmt.Errorf("start %s: %w: %w%s", c.name, context.Cause(ctx), err, c.tail())
		case <-tick.C:
		}
	}
}

// tail is the end of the log, where a Java process says what it died of; without the
// file's name, as a failed start takes a temporary folder with it.
func (c *child) tail() string {
	b, err := os.ReadFile(c.log)
	if err != nil {
		return "\n(no log: " + err.Error() + ")"
	}
	b = b[max(0, len(b)-tailBytes):]
	return "\nits log ends:\n" + string(b)
}

// Ports are taken below the range from which systems give out ephemeral ones:
// while a node is down for a restart, an outgoing connection would otherwise
// get its port now and then, and the node could not come back.
const (
	portLow   = 20000
	portHigh  = 32000
	portTries = 200
)

// freePorts are n loopback ports that nobody listens on at the moment.
func freePorts(n int) ([]int, error) {
	var ports []int
	for range portTries {
		lis, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", portLow+rand.IntN(portHigh-portLow)))
		if err != nil {
			continue
		}
		defer func() { _ = lis.Close() }() // held until all are found, so that none is given twice
		ports = append(ports, lis.Addr().(*net.TCPAddr).Port)
		if len(ports) == n {
			return ports, nil
		}
	}
	return nil, fmt.Errorf("find %d free loopback ports: none between %d and %d in %d tries", n, portLow, portHigh, portTries)
}
