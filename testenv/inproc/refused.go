package inproc

import (
	"net"
	"os"
	"syscall"
)

// refused is what a port answers where nobody listens: clients know it, and try again.
func refused(addr string) error {
	return &net.OpError{Op: "dial", Net: "inproc", Addr: address(addr), Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}
}
