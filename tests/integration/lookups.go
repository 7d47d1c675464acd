// SPDX-License-Identifier: Apache-2.0

// As lookups.c, by Go's own resolver.
package main

import (
	"fmt"
	"net"
	"os"
	"sort"
	"strconv"
	"strings"
	"time"
)

func main() {
	count, _ := strconv.Atoi(os.Args[1])
	for _, name := range os.Args[2:] {
		addresses, _ := net.LookupHost(name)
		sort.Strings(addresses)
		fmt.Println(strings.TrimSpace(name + " " + strings.Join(addresses, " ")))
	}
	for range count {
		for _, name := range os.Args[2:] {
			from := time.Now()
			net.LookupHost(name)
			fmt.Print(time.Since(from).Microseconds(), " ")
		}
	}
	fmt.Println()
}
