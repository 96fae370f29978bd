/* SPDX-License-Identifier: Apache-2.0 */
/* A core dump of the program has no key of a connection. A dump holds the private mappings that can be written and are not marked
 * "dd" (MADV_DONTDUMP) in /proc/self/smaps. The first 32 bytes of an AES-256 key schedule are the key, and ChaCha20 keeps it as it is:
 * so a search for the key finds both. */
#include "cli/crypto_memory.h"

#include "cmocka_all.h"

#include "wire/guarded.h"
#include "wire/seal.h"

#include <fcntl.h>
#include <openssl/crypto.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { KEY = SGP_NOISE_KEY, MASK = 0x5a, PART = 1 << 20, BYTES = 1000, SEALS = 8 };

/* The keys, each byte xor MASK: the test itself keeps none in the clear. */
static unsigned char masked[SEALS][KEY];

static void make_keys(void) {
    for (int s = 0; s < SEALS; s++)
        for (int i = 0; i < KEY; i++) masked[s][i] = (unsigned char)(37 * i + 11 * s + 5);
}

/* ---- the search ---- */

static int count_keys(const unsigned char *bytes, size_t count) {
    int found = 0;
    for (size_t at = 0; at + KEY <= count; at++)
        for (int s = 0; s < SEALS; s++) {
            int i = 0;
            while (i < KEY && (bytes[at + i] ^ MASK) == masked[s][i]) i++;
            found += i == KEY;
        }
    return found;
}

/* Of a mapping [start, end). part: (PART + KEY) in memory that is not searched itself. */
static int search(int memory, uintptr_t start, uintptr_t end, unsigned char *part) {
    int found = 0;
    for (uintptr_t at = start; at < end; at += PART) {
        size_t count = end - at < PART + KEY - 1 ? end - at : PART + KEY - 1;
        ssize_t got = pread(memory, part, count, (off_t)at);
        if (got > 0) found += count_keys(part, (size_t)got);
    }
    return found;
}

typedef struct found {
    int dumped, hidden; /* keys in memory that a dump has, and in the rest of what can be written */
} found_t;

static found_t search_all(unsigned char *part) {
    found_t found = {0};
    FILE *maps = fopen("/proc/self/smaps", "r");
    int memory = open("/proc/self/mem", O_RDONLY | O_CLOEXEC);
    char line[4096], rights[8] = "";
    unsigned long start = 0, end = 0, from, to;
    if (!maps || memory < 0) abort();
    while (fgets(line, sizeof line, maps)) {
        char seen[8];
        if (sscanf(line, "%lx-%lx %7s", &from, &to, seen) == 3) {
            start = from, end = to;
            memcpy(rights, seen, sizeof rights);
        }
        if (strncmp(line, "VmFlags:", 8) != 0 || rights[1] != 'w' || rights[3] != 'p') continue;
        bool hidden = strstr(line, " dd") != NULL;
        bool own = (uintptr_t)part >= start && (uintptr_t)part < end;
        if (!own) *(hidden ? &found.hidden : &found.dumped) += search(memory, start, end, part);
    }
    fclose(maps);
    close(memory);
    return found;
}

/* ---- in a child ---- */

static sgp_seal_t *make_seal(int s, sgp_seal_cipher_t cipher) {
    unsigned char *key = sgp_guarded_make(KEY), record[BYTES + SGP_SEAL_OVERHEAD] = {0};
    for (int i = 0; i < KEY; i++) key[i] = masked[s][i] ^ MASK;
    sgp_seal_t *seal = sgp_seal_create(key, cipher, s % 2, true);
    sgp_guarded_free(key);
    for (int i = 0; seal && i < 3; i++)
        if (!sgp_seal_close(seal, record + SGP_SEAL_HEAD, BYTES, record)) abort();
    return seal;
}

/* Connections of both ciphers: *with while they are there, *after when they have ended. */
static void look(bool hide, found_t *with, found_t *after) {
    sgp_seal_t *seals[SEALS];
    if (hide && !crypto_memory_hide()) abort();
    unsigned char *part = sgp_guarded_make(PART + KEY);
    if (!part) abort();
    for (int s = 0; s < SEALS; s++) {
        seals[s] = make_seal(s, s < SEALS / 2 ? SGP_SEAL_AES : SGP_SEAL_CHACHA);
        if (!seals[s]) abort();
    }
    *with = search_all(part);
    for (int s = 0; s < SEALS; s++) sgp_seal_destroy(seals[s]);
    *after = search_all(part);
    sgp_guarded_free(part);
}

/* The same in a child, since memory functions can be set only before libcrypto is used. */
static void look_apart(bool hide, found_t found[2]) {
    int ends[2], status;
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    if (child == 0) {
        look(hide, &found[0], &found[1]);
        _exit(write(ends[1], found, 2 * sizeof *found) == 2 * sizeof *found ? 0 : 1);
    }
    assert_true(child > 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_int_equal(read(ends[0], found, 2 * sizeof *found), 2 * sizeof *found);
    close(ends[0]);
    close(ends[1]);
}

static void test_malloc_is_dumped(void **state) {
    (void)state;
    found_t found[2];
    look_apart(false, found);
    assert_true(found[0].dumped >= SEALS); /* so the search finds them */
}

static void test_nothing_is_dumped(void **state) {
    (void)state;
    found_t found[2];
    look_apart(true, found);
    assert_int_equal(found[0].dumped, 0);
    assert_true(found[0].hidden >= SEALS);
    assert_int_equal(found[1].dumped, 0);
    assert_int_equal(found[1].hidden, 0); /* they are erased, too */
}

/* ---- the memory itself, by libcrypto's own calls ---- */

enum { BLOCKS = 500, TURNS = 20000 };

/* Blocks of random sizes keep what was written into them, whatever the others do; some are larger than the largest block. */
static void *use_blocks(void *seed) {
    unsigned char *blocks[BLOCKS] = {0};
    size_t sizes[BLOCKS] = {0};
    unsigned random = *(const unsigned *)seed;
    for (int turn = 0; turn < TURNS; turn++) {
        int b = (int)(rand_r(&random) % BLOCKS);
        size_t bytes = (size_t)rand_r(&random) % (turn % 50 ? 600 : 100000) + 1;
        for (size_t i = 0; i < sizes[b]; i++)
            if (blocks[b][i] != (unsigned char)b) abort();
        if (turn % 3 == 0) {
            OPENSSL_free(blocks[b]);
            blocks[b] = OPENSSL_zalloc(bytes);
            for (size_t i = 0; i < bytes; i++)
                if (blocks[b][i]) abort();
        } else {
            blocks[b] = OPENSSL_realloc(blocks[b], bytes);
            for (size_t i = 0; i < (bytes < sizes[b] ? bytes : sizes[b]); i++)
                if (blocks[b][i] != (unsigned char)b) abort();
        }
        if (!blocks[b] || (uintptr_t)blocks[b] % 16) abort();
        memset(blocks[b], b, bytes);
        sizes[b] = bytes;
    }
    for (int b = 0; b < BLOCKS; b++) OPENSSL_free(blocks[b]);
    return NULL;
}

/* A child that was forked meanwhile can allocate. */
static void fork_meanwhile(void) {
    for (int i = 0; i < 20; i++) {
        int status;
        pid_t child = fork();
        if (child == 0) {
            void *block = OPENSSL_malloc(100);
            OPENSSL_free(block);
            _exit(block == NULL);
        }
        if (waitpid(child, &status, 0) != child || status != 0) abort();
    }
}

static void test_blocks(void **state) {
    (void)state;
    int status;
    pid_t child = fork();
    if (child == 0) {
        pthread_t threads[3];
        unsigned seeds[3] = {1, 2, 3};
        if (!crypto_memory_hide()) abort();
        for (int t = 0; t < 3; t++)
            if (pthread_create(&threads[t], NULL, use_blocks, &seeds[t]) != 0) abort();
        fork_meanwhile();
        for (int t = 0; t < 3; t++) pthread_join(threads[t], NULL);
        _exit(0);
    }
    assert_true(child > 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

/* As where a library that was loaded before has allocated already. */
static void test_too_late(void **state) {
    (void)state;
    int status;
    pid_t child = fork();
    if (child == 0) {
        void *block = OPENSSL_malloc(100);
        bool hidden = crypto_memory_hide();
        OPENSSL_free(block);
        _exit(!block || hidden);
    }
    assert_true(child > 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_malloc_is_dumped),
        cmocka_unit_test(test_nothing_is_dumped),
        cmocka_unit_test(test_blocks),
        cmocka_unit_test(test_too_late),
    };
    make_keys();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
