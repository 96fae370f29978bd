/* SPDX-License-Identifier: Apache-2.0 */
/* Codes of 8, 6, 5 or 4 bits that know the receiver: a number travels as its remainder modulo M = 2^bits steps, and the
 * receiver, whose own number is near, knows which of the numbers with that remainder is meant. Nothing is kept per
 * neighbour but a float per block. Pure functions for the mixing and the simulated nodes; they know no message, no node
 * and no thread. After Moniqua (Lu and De Sa 2020, arXiv 2002.11787), by exact push-sum.
 *
 * A vector is coded in blocks of 256 numbers. Each node keeps for each block a range r: how far the other nodes' numbers
 * may be from its own.
 *
 *   sender      delta = 2^ceil(log2(2 kappa r / M)), at least 2^-124, at most 2^103, and large enough that |z / delta| <
 *               2^22 - 256; q = rint(z / delta) (ties to even), y = delta q; the block carries the exponent of delta, q mod
 *               M, and a check of all q div M
 *   receiver    q = the number with that remainder from p - M/2 to p + M/2 - 1, p = rint(its z / delta); y = delta q
 *
 * Exactness. p and q are roundings, each off by 1/2 at most. So if |z_sender - z_receiver| < (M/2 - 1) delta then
 * |q - p| < M/2, and both have the same q: the same y, bit for bit. Otherwise the receiver may find a q that is off by a
 * multiple of M, a wrap. The check finds it and the block is refused: nothing of it is absorbed. A wrong y is never
 * absorbed, so the sum of x over the nodes changes by rounding only.
 *
 * The check is sum of h_i (q_i div M) mod 2^32, with random odd factors h_i that are the same everywhere. Wraps by k_i
 * circles change it by sum of h_i k_i, which is not 0 if the |k_i| add up to four or less (a test tries all cases); beyond
 * that a block is missed with a probability of 2^-32. (A sum without factors misses half of the blocks with two wraps.) It
 * finds wraps; damage on the way is found by the transport's checksum, and an attacker could as well send another z.
 *
 * Refusal. The sender of a refused block sends y in float32. It finds y from its codes and its own z by the same rule, so
 * it keeps the codes until the receiver releases them, and y itself where z is about to move by (M/2 - 1) delta since the
 * push: `reach` says how far each block may move, sgp_modulo_travel adds up how far it has, sgp_modulo_beyond finds the
 * blocks to decode before a change. The receiver has already added the weight v of the message to its own w, but not
 * its part of this block. In lock step y comes before anything else changes: sgp_modulo_absorb_exact with the same a. Who
 * cannot wait keeps the block's z of that moment, z0, and later adds v / w (y - z0), w being the weight by then.
 *
 * Range (measured: docs/results.md, "Codes that know the receiver"). One r serves all rounds of a step. It begins with a
 * bound of how far nodes are apart: 0 where all start alike. If it is too small, blocks are refused until it has grown.
 *   after local steps    sgp_modulo_grow: r <- max(r, 2 moved), moved being the sum over the steps since the last push of
 *                        the largest |change of z|, from sgp_modulo_travel; by more than 2 while the rate rises, if wanted
 *   before each push     sgp_modulo_forget: r <- 0.98 r
 *   absorbing            r <- max(r, |y - z|), done by sgp_modulo_absorb
 *   after the release    sgp_modulo_hear, if the receiver sends back how far it was away (a byte per block). It is worth
 *                        that for 4 bits where nodes have different data
 *
 * Bytes. A chunk is a run of whole blocks; the last block of a vector may be short, and travels as a whole one, with zeros
 * in place of the missing codes. Blocks follow each other without gaps, each complete in itself, so any run of them can be
 * moved, resent or decoded alone. Nothing is aligned. A block:
 *
 *   0     4    the check, little-endian
 *   4     1    127 + the exponent of delta; 3 to 230
 *   5     128  planes of the lower 4 bits of the codes (8 bits: one plane of 256 bytes)
 *   133   64   6 bits: plane of the upper 2; 5 bits, 32 bytes: plane of the upper 1
 *
 * A plane of codes of w bits consists of words of 32 bits (w = 1: of 16), little-endian, in groups of 16. A word of n
 * codes, word l of group g, holds those of the elements 16 (n g + j) + l, j = 0 .. n-1, from its lowest bits up.
 *
 * Numbers. z has to be finite and below SGP_MODULO_LIMIT in size. y is +0 where q is 0. z, y: (count); r, moved, reach:
 * (blocks of count); all of them start at the first element of a block, so a run of count elements ends with a whole block
 * or with the vector. Sets of blocks are bits in bytes, lowest first: (blocks + 7) / 8 bytes, all written. Arrays do not
 * overlap unless a comment says so. The bits are the same on every CPU, whatever its instructions and however its float
 * unit treats denormals, except that z <- ... itself is plain float arithmetic. Nothing is allocated; 3 KB of stack. */
#ifndef SGP_CODEC_MODULO_H
#define SGP_CODEC_MODULO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SGP_MODULO_BLOCK  256
#define SGP_MODULO_LIMIT  0x1p124f
#define SGP_MODULO_FORGET 0.98f
#define SGP_MODULO_GROW   2.0f

/* The same on all nodes, as the encoding is; anything out of range is our own mistake. */
typedef struct sgp_modulo {
    int bits;    /* 8, 6, 5 or 4 */
    float kappa; /* > 0: half a circle of M steps is kappa r or more. Only the sender needs it */
} sgp_modulo_t;

/* kappa where none is asked for: 8 for 8 bits, 4 for 6 and 5, 2 for 4. The rounding error, up to 2 kappa r / M, is a part of
 * the distance that r follows, so kappa / M should not be above 1/8. */
float sgp_modulo_kappa(int bits);

bool sgp_modulo_has_bits(int bits);

/* ---- sizes ---- */

static inline size_t sgp_modulo_blocks(size_t count) {
    return count / SGP_MODULO_BLOCK + (count % SGP_MODULO_BLOCK != 0);
}

/* Of a set of blocks. */
static inline size_t sgp_modulo_set_bytes(size_t count) {
    return (sgp_modulo_blocks(count) + 7) / 8;
}

static inline bool sgp_modulo_in_set(const unsigned char *set, size_t block) {
    return set[block / 8] >> block % 8 & 1;
}

/* 133, 165, 197 or 261. */
static inline size_t sgp_modulo_block_bytes(int bits) {
    return 5 + SGP_MODULO_BLOCK / 8 * (size_t)bits;
}

/* Of `count` encoded elements. */
static inline size_t sgp_modulo_bytes(int bits, size_t count) {
    return sgp_modulo_blocks(count) * sgp_modulo_block_bytes(bits);
}

/* The most elements that fit into so many bytes, in whole blocks. */
static inline size_t sgp_modulo_room(int bits, size_t bytes) {
    return bytes / sgp_modulo_block_bytes(bits) * SGP_MODULO_BLOCK;
}

/* Bytes from the network: whether they have the length of `count` elements, and every block an exponent that exists and
 * zeros beyond `count`. The decoding calls refuse a block without the latter two, and rely on the length. */
bool sgp_modulo_valid(int bits, size_t count, const void *s, size_t bytes);

/* ---- sender ---- */

/* s <- enc(z). false: a number is not finite or too large; the bytes of its block are undefined. */
bool sgp_modulo_encode(const sgp_modulo_t *code, size_t count, void *s, const float *z,
                       const float *r);

/* s <- enc(z); z <- keep z + part (z - y): the sender keeps the rounding error. part: sent over kept weight. reach: how far
 * each block of z may still move before its codes no longer stand for y here; NULL: not wanted. It means nothing if keep is
 * not 1, and is above 0 if part < M - 2.5, where part alone cannot move z too far. false: as above, and blocks with such
 * numbers keep their z. */
bool sgp_modulo_encode_keep(const sgp_modulo_t *code, size_t count, void *s, float *z,
                            const float *r, float keep, float part, float *reach);

/* The same reach for blocks that were encoded without keeping. */
void sgp_modulo_reach(int bits, size_t count, const void *s, float *reach);

/* z <- z + part (x - y), where s is enc(x): the rounding error of an earlier push of x, in the overlapped mode. x may be
 * z. */
void sgp_modulo_keep_rounding(int bits, size_t count, float *z, const float *x, const void *s,
                              float part);

/* ---- receiver; also a sender of its own codes ----
 *
 * Each returns the number of refused blocks and sets their bits in `refused`, which may be NULL. A block is refused for a
 * wrap, an exponent or padding that does not exist, or a z of our own that is not finite or too large. */

/* y <- dec(s), the numbers near z. Refused blocks of y are left as they are. y may be z. For a sender that has to resend
 * blocks, and for a message that is absorbed later: it is decoded while z is near the sender's. */
size_t sgp_modulo_decode(int bits, size_t count, float *y, const float *z, const void *s,
                         unsigned char *refused);

/* z <- z + a (y - z) and r <- max(r, |y - z|) of the old z; a = v / (w + v), v being the weight of the message. Refused
 * blocks of z and r are left as they are. away: a byte for each block, for sgp_modulo_hear; NULL: not wanted. */
size_t sgp_modulo_absorb(int bits, size_t count, float *z, float *r, const void *s, float a,
                         unsigned char *refused, unsigned char *away);

/* The same with y in float32: of blocks that were refused, when they come again, or of a message that was decoded before.
 * y is finite. */
void sgp_modulo_absorb_exact(size_t count, float *z, float *r, const float *y, float a);

/* ---- ranges ---- */

/* r <- by r; by: SGP_MODULO_FORGET. */
void sgp_modulo_forget(size_t blocks, float *r, float by);

/* moved <- moved + max |after - before|: of a local step before the push that tells of it, and of every change of z while
 * codes are kept for a resend. */
void sgp_modulo_travel(size_t count, float *moved, const float *before, const float *after);

/* r <- max(r, factor moved); factor: SGP_MODULO_GROW or more. */
void sgp_modulo_grow(size_t blocks, float *r, const float *moved, float factor);

/* r <- max(r, what the receiver of our last message has found as |y - z|, rounded up to a power of two), where it sends that
 * back: away, by sgp_modulo_absorb, 0 for a refused block. Any bytes will do: a liar can make our steps coarse, but mass stays exact. */
void sgp_modulo_hear(size_t blocks, float *r, const unsigned char *away);

/* The blocks that have moved as far as they may: sets the bits of those with moved >= reach and returns their number. Call
 * it with what moved will be after a change and, for the blocks found, decode the codes against z from before it. */
size_t sgp_modulo_beyond(size_t blocks, const float *moved, const float *reach,
                         unsigned char *beyond);

/* ---- for tests ---- */

typedef enum sgp_modulo_cpu {
    SGP_MODULO_BEST,
    SGP_MODULO_PLAIN,
    SGP_MODULO_FOUR, /* vectors of 4 floats, of 8, of 16 */
    SGP_MODULO_AVX2,
    SGP_MODULO_AVX512
} sgp_modulo_cpu_t;

/* Uses these instructions from now on. false, and nothing changes: the CPU does not have them. */
bool sgp_modulo_use(sgp_modulo_cpu_t cpu);

#endif
