package store

import "golang.org/x/sys/windows"

func diskRoom(dir string) (free uint64, writable bool, err error) {
	p, err := windows.UTF16PtrFromString(dir)
	if err != nil {
		return 0, false, err
	}
	err = windows.GetDiskFreeSpaceEx(p, &free, nil, nil)
	return free, true, err
}
