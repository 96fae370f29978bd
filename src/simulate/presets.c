/* SPDX-License-Identifier: Apache-2.0 */
/* What is known by name: networks and models. */
#include "cli/message.h"
#include "simulate/simulation.h"

#include "files/json.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* Payload that TCP carries on Ethernet: 1460 of the 1538 bytes that a full frame takes on the wire, and 8960 of
 * 9038 with the large frames (MTU 9000) that are usual from 10 Gb/s on. Latencies are those of a TCP message
 * from process to process through one switch; of InfiniBand with its own verbs; and of the internet between
 * two sites. */
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

/* Trainable parameters: of torchvision's models, of the Transformer's base model with the vocabulary of WMT'16
 * En-De, of BERT and GPT-2 as published, and of our own. */
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

double simulate_model_parameters(const char *name) {
    for (int i = 0; i < MODELS; i++)
        if (!strcmp(models[i].name, name)) return models[i].parameters;
    return 0;
}

static void add_name(char *list, size_t size, const char *name) {
    size_t length = strlen(list);
    snprintf(list + length, size - length, "%s%s", length ? ", " : "", name);
}

const char *simulate_model_names(void) {
    static char list[160];
    list[0] = '\0';
    for (int i = 0; i < MODELS; i++) add_name(list, sizeof list, models[i].name);
    return list;
}

const char *simulate_network_names(void) {
    static char list[160];
    list[0] = '\0';
    for (int i = 0; i < NETWORKS; i++) add_name(list, sizeof list, networks[i].name);
    return list;
}

bool simulate_network_find(const char *name, simulate_network_t *network) {
    for (int i = 0; i < NETWORKS; i++) {
        if (strcmp(networks[i].name, name) != 0) continue;
        *network = (simulate_network_t){.name = name,
                                        .bytes_per_second = networks[i].gigabits * 1e9 / 8,
                                        .latency_ms = networks[i].latency_ms};
        return true;
    }
    return false;
}

/* A route goes up one host's link and down the other's. Latencies are the transport's: it adds them to what the
 * links take, also where messages leave one after the other. */
int simulate_network_file(const simulate_network_t *network, int hosts) {
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
    message_error("a file in memory for the platform: %s", strerror(errno));
    if (file >= 0) close(file);
    return -1;
}

/* ---- calibration ---- */

/* false: it is there and no number of `least` or more. */
static bool take_number(const json_t *object, const char *key, double least, double *value) {
    const json_t *number = json_object_get(object, key);
    if (!number || json_is_null(number)) return true;
    if (!json_is_number(number) || !(json_number_value(number) >= least)) return false;
    *value = json_number_value(number);
    return true;
}

/* Names the member that is wrong; NULL: none. */
static const char *take_members(const json_t *json, simulate_settings_t *found) {
    double rate = 0;
    if (!take_number(json, "rate_mbps", 1e-6, &rate)) return "rate_mbps";
    if (!take_number(json, "latency_ms", 0, &found->network.latency_ms)) return "latency_ms";
    if (!take_number(json, "parameters", 1, &found->parameters)) return "parameters";
    if (!take_number(json, "gradient_ms", 1e-6, &found->compute.mean_ms)) return "gradient_ms";
    if (!take_number(json, "gradient_spread", 0, &found->compute.spread)) return "gradient_spread";
    if (!take_number(json, "update_ms", 0, &found->local.update_ms)) return "update_ms";
    if (!take_number(json, "copy_ms", 0, &found->local.copy_ms)) return "copy_ms";
    if (!take_number(json, "absorb_ms", 0, &found->local.absorb_ms)) return "absorb_ms";
    if (!take_number(json, "pass_parameters", 1, &found->pass_parameters)) return "pass_parameters";
    if (rate > 0) {
        found->network.bytes_per_second = rate * 1e6 / 8;
        found->network.name = "calibration";
    }
    return NULL;
}

/* The model that was measured, unless another one is given. The name is kept to the program's end. */
static void take_model(const json_t *json, const simulate_settings_t *found,
                       simulate_settings_t *settings) {
    const char *model = json_string_value(json_object_get(json, "model"));
    json_int_t batch = json_integer_value(json_object_get(json, "batch_size"));
    if (settings->batch_size == 0 && batch > 0 && batch <= 65536) settings->batch_size = (int)batch;
    if (settings->parameters > 0) return;
    settings->parameters = found->parameters;
    if (model) settings->model = strdup(model);
}

bool simulate_calibration_read(simulate_settings_t *settings) {
    json_error_t error;
    json_t *json = files_json_load(settings->calibration, 0, &error);
    if (!json) {
        message_error("--calibration %s: %s", settings->calibration, error.text);
        return false;
    }
    simulate_settings_t found = *settings;
    const char *wrong = json_is_object(json) ? take_members(json, &found) : "the whole";
    take_model(json, &found, settings);
    if (!settings->network_given) settings->network = found.network;
    if (!settings->compute_given) settings->compute = found.compute;
    if (!settings->local_given) settings->local = found.local;
    settings->pass_parameters = found.pass_parameters;
    json_decref(json);
    if (!wrong) return true;
    message_error("--calibration %s: %s is not what sgp bench writes", settings->calibration,
                  wrong);
    return false;
}
