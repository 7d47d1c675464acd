/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The program is some seventy instructions, the same for IPv4 and IPv6 but for offsets, so it is
 * put together here (as systemd does) instead of by a compiler for BPF at build time.
 */
#include "tun/shortcut.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core/limits.h"
#include "net/shortcut.h"

/* Linux 6.6; newer than the headers that this is built with. */
#define TCX_NEXT   (-1)
#define TCX_EGRESS 47

#define MAX_INSTRUCTIONS 256
#define MAX_EXITS        32
/* On the program's stack: the packet's headers, and the key. */
#define HEAD (-64)
#define KEY  (-104)

#define TCP_BYTES   20
#define TCP_ACK     8
#define TCP_FLAGS   13
#define TCP_CHECK   16
#define TCP_ENDS    0x07 /* FIN, SYN, RST */
#define IP4_FRAG    0x3fff /* more fragments, offset */
#define IP4_VERSION 0x45 /* and no options */

struct program {
	struct bpf_insn insns[MAX_INSTRUCTIONS];
	size_t count;
	size_t exits[MAX_EXITS]; /* jumps to the end: not ours */
	size_t exit_count;
};

static void emit(struct program *p, uint8_t code, uint8_t dst, uint8_t src, int off, int imm)
{
	assert(p->count < MAX_INSTRUCTIONS);
	p->insns[p->count++] = (struct bpf_insn){.code = code,
		.dst_reg = dst & 0xfU,
		.src_reg = src & 0xfU,
		.off = (int16_t)off,
		.imm = imm};
}

static void set(struct program *p, uint8_t reg, int imm)
{
	emit(p, BPF_ALU64 | BPF_MOV | BPF_K, reg, 0, 0, imm);
}

static void copy(struct program *p, uint8_t reg, uint8_t from)
{
	emit(p, BPF_ALU64 | BPF_MOV | BPF_X, reg, from, 0, 0);
}

static void add(struct program *p, uint8_t reg, int imm)
{
	emit(p, BPF_ALU64 | BPF_ADD, reg, 0, 0, imm);
}

/* size: BPF_B, BPF_H, BPF_W, BPF_DW */
static void load(struct program *p, uint8_t size, uint8_t reg, uint8_t from, int off)
{
	emit(p, (uint8_t)(BPF_LDX | BPF_MEM | size), reg, from, off, 0);
}

static void store(struct program *p, uint8_t size, uint8_t to, int off, uint8_t reg)
{
	emit(p, (uint8_t)(BPF_STX | BPF_MEM | size), to, reg, off, 0);
}

static void call(struct program *p, int helper)
{
	emit(p, BPF_JMP | BPF_CALL, 0, 0, 0, helper);
}

/* Leaves the packet alone if `op` holds of the register and imm. */
static void leave_if(struct program *p, uint8_t op, uint8_t reg, int imm)
{
	assert(p->exit_count < MAX_EXITS);
	p->exits[p->exit_count++] = p->count;
	emit(p, (uint8_t)(BPF_JMP | op | BPF_K), reg, 0, 0, imm);
}

static void leave_if_byte(struct program *p, uint8_t op, int off, int imm)
{
	load(p, BPF_B, BPF_REG_1, BPF_REG_10, HEAD + off);
	leave_if(p, op, BPF_REG_1, imm);
}

/* From the headers to the key. */
static void copy_key(struct program *p, uint8_t size, int from, int to)
{
	load(p, size, BPF_REG_1, BPF_REG_10, HEAD + from);
	store(p, size, BPF_REG_10, KEY + to, BPF_REG_1);
}

/* What kind of packet it is: no fragment, no options, not at the end of its way. */
static void check_ip(struct program *p, bool is4)
{
	if (!is4) {
		leave_if_byte(p, BPF_JNE, 6, IPPROTO_TCP);
		leave_if_byte(p, BPF_JLE, 7, 1);
		return;
	}
	leave_if_byte(p, BPF_JNE, 0, IP4_VERSION);
	leave_if_byte(p, BPF_JNE, 9, IPPROTO_TCP);
	leave_if_byte(p, BPF_JLE, 8, 1);
	load(p, BPF_H, BPF_REG_1, BPF_REG_10, HEAD + 6);
	emit(p, BPF_ALU64 | BPF_AND | BPF_K, BPF_REG_1, 0, 0, htons(IP4_FRAG));
	leave_if(p, BPF_JNE, BPF_REG_1, 0);
}

static void put_key(struct program *p, bool is4, int tcp)
{
	for (int i = 0; i < (int)sizeof(struct shortcut_from); i += 8)
		emit(p, BPF_ST | BPF_MEM | BPF_DW, BPF_REG_10, 0, KEY + i, 0);
	if (is4) {
		copy_key(p, BPF_W, 12, offsetof(struct shortcut_from, src));
		copy_key(p, BPF_W, 16, offsetof(struct shortcut_from, dst));
	} else {
		for (int i = 0; i < 32; i += 8)
			copy_key(p, BPF_DW, 8 + i, i);
	}
	copy_key(p, BPF_W, tcp, offsetof(struct shortcut_from, ports));
	emit(p, BPF_ST | BPF_MEM | BPF_W, BPF_REG_10, 0,
		KEY + (int)offsetof(struct shortcut_from, family), is4 ? AF_INET : AF_INET6);
}

/* The sum at `off` of the packet by the entry's delta at `delta`. */
static void adjust(struct program *p, int helper, int off, size_t delta, int flags)
{
	copy(p, BPF_REG_1, BPF_REG_6);
	set(p, BPF_REG_2, off);
	set(p, BPF_REG_3, 0);
	load(p, BPF_W, BPF_REG_4, BPF_REG_8, (int)delta);
	set(p, BPF_REG_5, flags);
	call(p, helper);
}

/* Bytes of the entry into the packet. */
static void write_bytes(struct program *p, int off, size_t from, int len)
{
	copy(p, BPF_REG_1, BPF_REG_6);
	set(p, BPF_REG_2, off);
	copy(p, BPF_REG_3, BPF_REG_8);
	add(p, BPF_REG_3, (int)from);
	set(p, BPF_REG_4, len);
	set(p, BPF_REG_5, 0);
	call(p, BPF_FUNC_skb_store_bytes);
}

/* What the map's reader wants to know; and an application's mark stays its own. */
static void note(struct program *p, int tcp)
{
	set(p, BPF_REG_1, 0);
	store(p, BPF_W, BPF_REG_6, offsetof(struct __sk_buff, mark), BPF_REG_1);
	call(p, BPF_FUNC_ktime_get_ns);
	store(p, BPF_DW, BPF_REG_8, offsetof(struct shortcut_to, seen_ns), BPF_REG_0);
	load(p, BPF_W, BPF_REG_1, BPF_REG_10, HEAD + tcp + TCP_ACK);
	store(p, BPF_W, BPF_REG_8, offsetof(struct shortcut_to, ack), BPF_REG_1);
	set(p, BPF_REG_1, 1);
	emit(p, BPF_STX | BPF_ATOMIC | BPF_DW, BPF_REG_8, BPF_REG_1,
		offsetof(struct shortcut_to, packets), BPF_ADD);
}

/* R6 is the packet. */
static void emit_family(struct program *p, bool is4, int map_fd)
{
	int tcp = is4 ? 20 : 40;

	copy(p, BPF_REG_1, BPF_REG_6);
	set(p, BPF_REG_2, 0);
	copy(p, BPF_REG_3, BPF_REG_10);
	add(p, BPF_REG_3, HEAD);
	set(p, BPF_REG_4, tcp + TCP_BYTES);
	call(p, BPF_FUNC_skb_load_bytes);
	leave_if(p, BPF_JNE, BPF_REG_0, 0);
	check_ip(p, is4);
	load(p, BPF_B, BPF_REG_1, BPF_REG_10, HEAD + tcp + TCP_FLAGS);
	leave_if(p, BPF_JSET, BPF_REG_1, TCP_ENDS);
	put_key(p, is4, tcp);
	emit(p, BPF_LD | BPF_DW, BPF_REG_1, BPF_PSEUDO_MAP_FD, 0, map_fd);
	emit(p, 0, 0, 0, 0, 0);
	copy(p, BPF_REG_2, BPF_REG_10);
	add(p, BPF_REG_2, KEY);
	call(p, BPF_FUNC_map_lookup_elem);
	leave_if(p, BPF_JEQ, BPF_REG_0, 0);
	copy(p, BPF_REG_8, BPF_REG_0);
	note(p, tcp);
	write_bytes(p, is4 ? 12 : 8, offsetof(struct shortcut_to, addrs), is4 ? 8 : 32);
	if (is4)
		adjust(p, BPF_FUNC_l3_csum_replace, 10, offsetof(struct shortcut_to, delta_addrs),
			0);
	adjust(p, BPF_FUNC_l4_csum_replace, tcp + TCP_CHECK,
		offsetof(struct shortcut_to, delta_addrs), BPF_F_PSEUDO_HDR);
	adjust(p, BPF_FUNC_l4_csum_replace, tcp + TCP_CHECK,
		offsetof(struct shortcut_to, delta_ports), 0);
	write_bytes(p, tcp, offsetof(struct shortcut_to, ports), 4);
	load(p, BPF_W, BPF_REG_1, BPF_REG_6, offsetof(struct __sk_buff, ifindex));
	set(p, BPF_REG_2, BPF_F_INGRESS);
	call(p, BPF_FUNC_redirect);
	emit(p, BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
}

static void build(struct program *p, int map_fd)
{
	size_t to6;

	copy(p, BPF_REG_6, BPF_REG_1);
	load(p, BPF_W, BPF_REG_1, BPF_REG_6, offsetof(struct __sk_buff, protocol));
	to6 = p->count;
	emit(p, BPF_JMP | BPF_JEQ | BPF_K, BPF_REG_1, 0, 0, htons(ETH_P_IPV6));
	leave_if(p, BPF_JNE, BPF_REG_1, htons(ETH_P_IP));
	emit_family(p, true, map_fd);
	p->insns[to6].off = (int16_t)(p->count - to6 - 1);
	emit_family(p, false, map_fd);
	for (size_t i = 0; i < p->exit_count; i++)
		p->insns[p->exits[i]].off = (int16_t)(p->count - p->exits[i] - 1);
	set(p, BPF_REG_0, TCX_NEXT);
	emit(p, BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
}

static int bpf(enum bpf_cmd command, union bpf_attr *attr)
{
	long r = syscall(SYS_bpf, command, attr, sizeof(*attr));

	return r < 0 ? -errno : (int)r;
}

static int new_map(void)
{
	union bpf_attr attr;

	memset(&attr, 0, sizeof(attr));
	attr.map_type = BPF_MAP_TYPE_HASH;
	attr.key_size = sizeof(struct shortcut_from);
	attr.value_size = sizeof(struct shortcut_to);
	attr.max_entries = 2 * LIMIT_FLOWS;
	attr.map_flags = BPF_F_NO_PREALLOC;
	return bpf(BPF_MAP_CREATE, &attr);
}

static int load_program(int map_fd)
{
	struct program program = {.count = 0};
	union bpf_attr attr;

	build(&program, map_fd);
	memset(&attr, 0, sizeof(attr));
	attr.prog_type = BPF_PROG_TYPE_SCHED_CLS;
	attr.insns = (uintptr_t)program.insns;
	attr.insn_cnt = (uint32_t)program.count;
	attr.license = (uintptr_t)"Apache-2.0";
	return bpf(BPF_PROG_LOAD, &attr);
}

static int attach(int prog_fd, uint32_t ifindex)
{
	union bpf_attr attr;

	memset(&attr, 0, sizeof(attr));
	attr.link_create.prog_fd = (uint32_t)prog_fd;
	attr.link_create.target_fd = ifindex;
	attr.link_create.attach_type = TCX_EGRESS;
	return bpf(BPF_LINK_CREATE, &attr);
}

int shortcut_open(struct shortcut *ret_shortcut, uint32_t ifindex)
{
	auto_close int map_fd = new_map();
	auto_close int prog_fd = map_fd < 0 ? map_fd : load_program(map_fd);
	int link_fd = prog_fd < 0 ? prog_fd : attach(prog_fd, ifindex);

	*ret_shortcut = (struct shortcut){.map_fd = -1, .link_fd = -1};
	if (link_fd < 0)
		return link_fd;
	*ret_shortcut = (struct shortcut){.map_fd = take_fd(&map_fd), .link_fd = link_fd};
	return 0;
}

void shortcut_close(struct shortcut *shortcut)
{
	if (shortcut->link_fd >= 0)
		close(shortcut->link_fd);
	if (shortcut->map_fd >= 0)
		close(shortcut->map_fd);
	*shortcut = (struct shortcut){.map_fd = -1, .link_fd = -1};
}
