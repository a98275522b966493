//go:build !linux

package store

func trim(string) {}
