/* SPDX-License-Identifier: Apache-2.0 */
#include "simulate/calibration.h"

#include <string.h>

/* Missing and null members leave *value. false: not a number, or below `least`. */
static bool take_number(const json_t *object, const char *key, double least, double *value) {
    const json_t *number = json_object_get(object, key);
    if (!number || json_is_null(number)) return true;
    if (!json_is_number(number) || !(json_number_value(number) >= least)) return false;
    *value = json_number_value(number);
    return true;
}

/* Returns the name of the member that is wrong, or NULL. */
static const char *take_members(const json_t *json, simulation_calibration_t *found) {
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

sgp_status_t simulation_calibration_read(const json_t *json, simulation_calibration_t *calibration,
                                         const char **wrong) {
    const char *model = json_string_value(json_object_get(json, "model"));
    json_int_t batch = json_integer_value(json_object_get(json, "batch_size"));
    *wrong = json_is_object(json) ? take_members(json, calibration) : "the whole";
    if (*wrong) return SGP_ERR_FORMAT;
    if (batch > 0 && batch <= 65536) calibration->batch_size = (int)batch;
    if (!model) return SGP_OK;
    calibration->model = strdup(model);
    return calibration->model ? SGP_OK : SGP_ERR_NO_MEMORY;
}
