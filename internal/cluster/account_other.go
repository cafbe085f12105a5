//go:build !linux

package cluster

import (
	"errors"
	"syscall"
)

func endsWithUs(*syscall.Credential) *syscall.SysProcAttr { return &syscall.SysProcAttr{} }

func unprivileged() (*syscall.Credential, error) { return nil, nil }

func childrenOf(int) ([]int, error) {
	return nil, errors.New("freezing PostgreSQL needs Linux")
}
