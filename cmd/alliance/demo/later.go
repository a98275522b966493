package demo

import "context"

type alertCase struct{}
type flight struct{}
type reading struct{}

func (d *demo) issue(ctx context.Context) error { return nil }
func (d *demo) crash(ctx context.Context) error { return nil }
func (d *demo) away(ctx context.Context) error  { return nil }
func (d *demo) disks(ctx context.Context) error { return nil }
