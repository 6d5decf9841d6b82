/* cmd_train.c - `senet train`: settings, the run with its progress and its stop by a signal, the result. */
#define _GNU_SOURCE
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/json.h"
#include "progress.h"
#include "report.h"
#include "train/config.h"
#include "train_options.h"
#include "verbs.h"

/* ---- stopping ---- */

static volatile sig_atomic_t stop_requested;

static void request_stop(int signal_number)
{
    static const char note[] = "\nstopping after this step; a second signal stops at once\n";
    (void)signal_number;
    stop_requested = 1;
    ssize_t written = write(STDERR_FILENO, note, sizeof note - 1);
    (void)written;
}

static void catch_signals(void)
{
    struct sigaction action = {.sa_handler = request_stop, .sa_flags = (int)SA_RESETHAND};
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGHUP, &action, NULL);
}

/* ---- progress ---- */

static void print_epoch(const sn_train_progress *p)
{
    char validation[128] = "", average[96] = "";
    if (!isnan(p->val.loss))
        snprintf(validation, sizeof validation, "  validation: loss %.4f  top-1 error %.2f%%  top-5 error %.2f%%",
                 p->val.loss, p->val.top1_error, p->val.top5_error);
    if (!isnan(p->ema.loss))
        snprintf(average, sizeof average, "  of the average: loss %.4f  top-1 error %.2f%%", p->ema.loss,
                 p->ema.top1_error);
    cli_report_note("epoch %lld/%lld: loss %.4f  top-1 error %.2f%%%s%s  %.0f images/s", (long long)p->epoch,
                    (long long)p->epochs, p->loss, p->top1_error, validation, average, p->images_per_second);
}

static void show_progress(void *context, const sn_train_progress *p)
{
    const sn_train_config *config = context;
    if (p->epoch_end) {
        print_epoch(p);
        return;
    }
    char state[160];
    snprintf(state, sizeof state, "epoch %lld/%lld  loss %.4f  error %.2f%%  %.0f images/s  %s left",
             (long long)p->epoch, (long long)p->epochs, p->loss, p->top1_error, p->images_per_second,
             cli_duration(p->seconds_left));
    double fraction = p->steps > 0 ? (double)p->step / (double)p->steps : 0;
    if (cli_progress_on_terminal())
        cli_progress_draw(fraction, "%s%s", p->evaluating ? "evaluating  " : "", state);
    else if (!p->evaluating && p->step % config->log_every == 0)
        cli_report_note("step %lld/%lld  lr %.6g  %s", (long long)p->step, (long long)p->steps, p->lr, state);
}

static void show_message(void *context, const char *line)
{
    (void)context;
    cli_report_note("%s", line);
}

/* ---- output ---- */

/* A number stays one in JSON; the others are text, an empty one null. */
static void add_setting(sn_json_writer *json, const char *name, const char *value)
{
    int64_t whole;
    double real;
    if (!*value)
        sn_json_add_null(json, name);
    else if (sn_parse_int64(value, &whole))
        sn_json_add_int(json, name, whole);
    else if (sn_parse_double(value, &real))
        sn_json_add_double(json, name, real);
    else
        sn_json_add_string(json, name, value);
}

static senet_status print_settings(const sn_train_config *config, bool as_json)
{
    sn_text text = {0}, value = {0};
    sn_json_writer json = {.text = &text};
    const char *name;
    sn_config_rule rule;
    if (as_json) sn_json_open_object(&json, NULL);
    for (size_t i = 0; sn_config_setting(config, i, &name, &rule, &value); i++) {
        int64_t choice = 0;
        int length = 0;
        const char *word =
            sn_parse_int64(sn_text_string(&value), &choice) ? cli_train_choice_name(name, choice, &length) : NULL;
        if (word) {
            value.length = 0;
            sn_text_add(&value, word, (size_t)length);
        }
        if (as_json)
            add_setting(&json, name, sn_text_string(&value));
        else
            sn_text_printf(&text, "%s%-20s %s", i ? "\n" : "", name,
                           *sn_text_string(&value) ? sn_text_string(&value) : "-");
    }
    if (as_json) sn_json_close_object(&json);
    senet_status status = sn_text_check(&value, "the settings");
    sn_text_free(&value);
    if (status == SENET_OK) return cli_print_text(&text);
    sn_text_free(&text);
    return status;
}

static senet_status print_result(const sn_train_config *config, const sn_train_result *result, bool stopped,
                                 bool as_json)
{
    sn_text text = {0};
    bool evaluated = result->best && *result->best;
    if (as_json) {
        sn_json_writer json = {.text = &text};
        sn_json_open_object(&json, NULL);
        sn_json_add_string(&json, "model", config->model);
        sn_json_add_string(&json, "data", config->data);
        sn_json_add_string(&json, "output", config->output);
        sn_json_add_int(&json, "epochs", result->epochs);
        sn_json_add_int(&json, "steps", result->steps);
        sn_json_add_double(&json, "loss", result->loss);
        sn_json_add_double(&json, "top1_error", result->top1_error);
        sn_json_add_double(&json, "top5_error", result->top5_error);
        sn_json_add_double(&json, "images_per_second", result->images_per_second);
        sn_json_add_string(&json, "best", evaluated ? result->best : NULL);
        sn_json_add_double(&json, "best_top1_error", evaluated ? result->best_top1_error : NAN);
        if (evaluated)
            sn_json_add_int(&json, "best_epoch", result->best_epoch);
        else
            sn_json_add_null(&json, "best_epoch");
        if (config->ema > 0) {
            sn_json_add_double(&json, "ema_loss", result->ema.loss);
            sn_json_add_double(&json, "ema_top1_error", result->ema.top1_error);
            sn_json_add_double(&json, "ema_top5_error", result->ema.top5_error);
        }
        sn_json_add_bool(&json, "stopped", stopped);
        sn_json_close_object(&json);
        return cli_print_text(&text);
    }
    sn_text_printf(&text, "%s: epochs %lld, steps %s, %.1f images/s", config->model, (long long)result->epochs,
                   cli_grouped(result->steps), result->images_per_second);
    if (!isnan(result->top1_error))
        sn_text_printf(&text, "\nlast: loss %.4f, top-1 error %.2f%%, top-5 error %.2f%%", result->loss,
                       result->top1_error, result->top5_error);
    if (!isnan(result->ema.loss))
        sn_text_printf(&text, "\nmoving average: loss %.4f, top-1 error %.2f%%, top-5 error %.2f%%, %s/ema.safetensors",
                       result->ema.loss, result->ema.top1_error, result->ema.top5_error, config->output);
    if (evaluated)
        sn_text_printf(&text, "\nbest: top-1 error %.2f%% after epoch %lld, %s", result->best_top1_error,
                       (long long)result->best_epoch, result->best);
    return cli_print_text(&text);
}

static int run(const cli_arguments *arguments)
{
    sn_arena arena = {0};
    sn_train_config config;
    static sn_train_result result;
    bool as_json = cli_flag(arguments, "json"), stopped = false;
    sn_train_hooks hooks = {
        .progress = show_progress, .message = show_message, .context = &config, .stop = &stop_requested};
    sn_spec spec;
    senet_status status;
    SN_TRY(cli_train_config(arguments, &arena, &config), cleanup);
    SN_TRY(sn_config_check(&config), cleanup);
    SN_TRY(sn_spec_parse(config.model, &spec), cleanup);
    if (cli_flag(arguments, "dry-run")) {
        status = print_settings(&config, as_json);
        goto cleanup;
    }
    catch_signals();
    status = sn_train(&config, &hooks, &result);
    cli_progress_clear();
    stopped = status == SENET_STOPPED;
    if (status == SENET_OK || stopped) status = print_result(&config, &result, stopped, as_json);
    if (stopped)
        cli_report_note("stopped after step %lld; senet train --resume %s goes on", (long long)result.steps,
                        config.output);
cleanup:;
    int code = cli_finish(status);
    sn_arena_free(&arena);
    return code == 0 && stopped ? SENET_STOPPED : code;
}

static const cli_example examples[] = {
    {"senet train --recipe demo --output demo", "A first look: three epochs on made-up pictures, no files needed"},
    {"senet train --recipe quick --model se_cifar_resnet20 --data cifar10:data --output run",
     "A good network for CIFAR-10 in 30 epochs"},
    {"senet train --resume run", "Go on with a run that was stopped, by Ctrl-C or a power cut"},
    {"senet train --recipe cifar-wrn --data cifar100:data --model se_wrn16_8:classes=100 --output wrn",
     "The paper's Wide ResNet on CIFAR-100"},
    {"senet train --model se_cifar_preresnet20:r=8 --data cifar10:data --output r8 --epochs 20 --lr 0.1 --augment "
     "cifar+cutout16",
     "A network and settings of one's own"},
    {"senet train --init run/best.safetensors --model se_cifar_resnet20 --data cifar10:data --lr 0.01 --epochs 5 "
     "--output tuned",
     "Fine-tune trained weights"},
    {NULL, NULL},
};

const cli_verb cli_train = {
    .name = "train",
    .operands = "",
    .summary = "train a network from a recipe or flags",
    .description =
        "Trains with stochastic gradient descent, evaluates after every epoch, and writes into --output: log.jsonl "
        "and summary.csv (the course of the run), last.safetensors and best.safetensors (weights, ready for eval "
        "and predict), checkpoint.safetensors (the full state, for --resume) and TensorBoard events.\n\n"
        "Recipes: demo (needs no files), quick, cifar-resnet, cifar-preresnet, cifar-wrn, cifar-shake-shake, "
        "cifar-shake-even: the settings of the paper's CIFAR tables; --dry-run shows them.\n\n"
        "One seed gives the same weights, bit for bit, for any number of threads and however often the run was "
        "stopped and resumed. SIGINT, SIGTERM and SIGHUP let the step finish, save, and end with exit code 75.",
    .options = cli_train_options,
    .examples = examples,
    .run = run,
};
