/* SPDX-License-Identifier: Apache-2.0 */
#include "simulate/presets.h"

#include "base/logging.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* TCP's payload on Ethernet: 1460 of the 1538 bytes of a full frame on the wire, and 8960 of 9038 with the large frames
 * (MTU 9000) that are usual from 10 Gb/s on. Latencies: a TCP message from process to process through one switch;
 * InfiniBand's verbs; the internet between two sites. */
static const struct {
    const char *name;
    double gigabits; /* a second, of payload, each way */
    double latency_ms;
} networks[] = {
    {"ethernet-1g", 0.949, 0.05},
    {"ethernet-10g", 9.91, 0.03},
    {"ethernet-100g", 99.1, 0.02},
    {"infiniband-100g", 97, 0.002},
    {"wan", 0.2, 25},
};

/* Trainable parameters of torchvision's models, of the Transformer's base model with the vocabulary of WMT'16 En-De, of
 * BERT and GPT-2 as published, and of sgp's own models. */
static const struct {
    const char *name;
    double parameters;
} models[] = {
    {"mlp", 269322},        {"lenet", 28938},        {"resnet20", 272186}, {"resnet18", 11689512},
    {"resnet50", 25557032}, {"resnet101", 44549160}, {"vgg16", 138357544}, {"transformer", 6.5e7},
    {"bert-large", 3.4e8},  {"gpt2", 1.24e8},
};

enum {
    NETWORKS = sizeof networks / sizeof networks[0],
    MODELS = sizeof models / sizeof models[0],
};

double simulation_model_parameters(const char *name) {
    for (int i = 0; i < MODELS; i++)
        if (!strcmp(models[i].name, name)) return models[i].parameters;
    return 0;
}

static void add_name(char *list, size_t size, const char *name) {
    size_t length = strlen(list);
    snprintf(list + length, size - length, "%s%s", length ? ", " : "", name);
}

const char *simulation_model_names(void) {
    static char list[160];
    list[0] = '\0';
    for (int i = 0; i < MODELS; i++) add_name(list, sizeof list, models[i].name);
    return list;
}

const char *simulation_network_names(void) {
    static char list[160];
    list[0] = '\0';
    for (int i = 0; i < NETWORKS; i++) add_name(list, sizeof list, networks[i].name);
    return list;
}

bool simulation_network_find(const char *name, simulation_network_t *network) {
    for (int i = 0; i < NETWORKS; i++) {
        if (strcmp(networks[i].name, name) != 0) continue;
        *network = (simulation_network_t){.name = name,
                                          .bytes_per_second = networks[i].gigabits * 1e9 / 8,
                                          .latency_ms = networks[i].latency_ms};
        return true;
    }
    return false;
}

/* A route is one host's link up and the other's link down. Its latency is 0: the transport adds the network's to each
 * message. */
int simulation_network_file(const simulation_network_t *network, int hosts) {
    int file = memfd_create("sgp-platform", 0);
    if (file >= 0 &&
        dprintf(file,
                "<?xml version='1.0'?>\n"
                "<!DOCTYPE platform SYSTEM \"https://simgrid.org/simgrid.dtd\">\n"
                "<platform version=\"4.1\">\n"
                "<cluster id=\"cluster\" prefix=\"node-\" suffix=\"\" radical=\"0-%d\" "
                "speed=\"1Gf\" bw=\"%.9gBps\" lat=\"0us\" sharing_policy=\"SPLITDUPLEX\"/>\n"
                "</platform>\n",
                hosts - 1, network->bytes_per_second) > 0)
        return file;
    sgp_fail(SGP_ERR_SYSTEM, "simulate: the platform's file in memory cannot be written: %s",
             strerror(errno));
    if (file >= 0) close(file);
    return -1;
}
