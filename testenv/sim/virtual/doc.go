// Package virtual runs the whole estate in virtual time.
package virtual
