package bench

import (
	"slices"
	"time"
)

// quantile returns the smallest value that at least the part q of the values
// do not exceed; 0 where there are none.
func quantile(v []float64, q float64) float64 {
	if len(v) == 0 {
		return 0
	}
	s := slices.Sorted(slices.Values(v))
	i := int(q*float64(len(s))+0.999999) - 1
	return s[min(max(i, 0), len(s)-1)]
}

func median(v []float64) float64 {
	if len(v) == 0 {
		return 0
	}
	s := slices.Sorted(slices.Values(v))
	if n := len(s); n%2 == 0 {
		return (s[n/2-1] + s[n/2]) / 2
	}
	return s[len(s)/2]
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// timed runs f n times and returns the median in milliseconds.
func timed(n int, f func() error) (float64, error) {
	took, err := inTurn(n, f)
	if err != nil {
		return 0, err
	}
	return took[0], nil
}

// inTurn runs functions one after the other, n times, and returns each one's
// median in milliseconds.
func inTurn(n int, fs ...func() error) ([]float64, error) {
	all := make([][]float64, len(fs))
	for range n {
		for i, f := range fs {
			start := time.Now()
			if err := f(); err != nil {
				return nil, err
			}
			all[i] = append(all[i], ms(time.Since(start)))
		}
	}
	out := make([]float64, len(fs))
	for i := range fs {
		out[i] = median(all[i])
	}
	return out, nil
}

// drive runs f n times, at most flight at once, and returns each call's time
// in milliseconds and the whole time.
func drive(n, flight int, f func(i int) error) (each []float64, whole time.Duration, err error) {
	each = make([]float64, n)
	errs := make(chan error, flight)
	next := make(chan int, n)
	for i := range n {
		next <- i
	}
	close(next)
	begin := time.Now()
	for range flight {
		go func() {
			for i := range next {
				start := time.Now()
				if err := f(i); err != nil {
					errs <- err
					return
				}
				each[i] = ms(time.Since(start))
			}
			errs <- nil
		}()
	}
	for range flight {
		if e := <-errs; e != nil && err == nil {
			err = e
		}
	}
	return each, time.Since(begin), err
}
