/* SPDX-License-Identifier: Apache-2.0 */
#include "run/names.h"

#include <pthread.h>
#include <sgp/encoding.h>
#include <sgp/graph.h>
#include <sgp/mixer.h>
#include <stdio.h>
#include <string.h>

enum { LIST = 256 };

static char algorithms[LIST], graphs[LIST], encodings[LIST];
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void append(char list[LIST], const char *name) {
    size_t length = strlen(list);
    snprintf(list + length, LIST - length, "%s%s", length ? ", " : "", name);
}

/* Numbers count from 0 without a gap; a name that is not parsed to its own number stands for a default or for none. */
static void collect(void) {
    sgp_algorithm_t algorithm;
    sgp_graph_kind_t graph;
    sgp_encoding_t encoding;
    for (int i = 0;; i++) {
        const char *name = sgp_algorithm_name((sgp_algorithm_t)i);
        if (sgp_algorithm_parse(name, &algorithm) != SGP_OK) break;
        if ((int)algorithm == i) append(algorithms, name);
    }
    for (int i = 0;; i++) {
        const char *name = sgp_graph_name((sgp_graph_kind_t)i);
        if (sgp_graph_parse(name, &graph) != SGP_OK) break;
        if ((int)graph == i) append(graphs, name);
    }
    for (int i = 0;; i++) {
        const char *name = sgp_encoding_name((sgp_encoding_t)i);
        if (sgp_encoding_parse(name, &encoding) != SGP_OK) break;
        if ((int)encoding == i) append(encodings, name);
    }
}

const char *names_algorithms(void) {
    pthread_once(&once, collect);
    return algorithms;
}

const char *names_graphs(void) {
    pthread_once(&once, collect);
    return graphs;
}

const char *names_encodings(void) {
    pthread_once(&once, collect);
    return encodings;
}

/* The library has no list of them: a transport may be a module that is not loaded. */
const char *names_transports(void) {
    return "auto, shm, tcp, mpi, loopback";
}
