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
#include "train_options.h"
#include "train_settings.h"
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

/* "" where the loader keeps up. */
static const char *waiting_text(double percent)
{
    static char text[64];
    *text = 0;
    if (percent >= 1) snprintf(text, sizeof text, ", %.0f%% of the time waiting for data", percent);
    return text;
}

static void print_epoch(const sn_train_progress *p)
{
    char validation[128] = "", average[96] = "";
    if (!isnan(p->val.loss))
        snprintf(validation, sizeof validation, "  validation: loss %.4f  top-1 error %.2f%%  top-5 error %.2f%%",
                 p->val.loss, p->val.top1_error, p->val.top5_error);
    if (!isnan(p->ema.loss))
        snprintf(average, sizeof average, "  of the average: loss %.4f  top-1 error %.2f%%", p->ema.loss,
                 p->ema.top1_error);
    cli_report_note("epoch %lld/%lld: loss %.4f  top-1 error %.2f%%%s%s  %.0f images/s%s", (long long)p->epoch,
                    (long long)p->epochs, p->loss, p->top1_error, validation, average, p->images_per_second,
                    waiting_text(p->data_wait_percent));
}

static void show_progress(void *context, const sn_train_progress *p)
{
    const sn_train_config *config = context;
    if (p->epoch_end) {
        print_epoch(p);
        return;
    }
    char state[160];
    snprintf(state, sizeof state, "epoch %lld/%lld  loss %.4f  error %.2f%%  %.0f images/s%s  %s left",
             (long long)p->epoch, (long long)p->epochs, p->loss, p->top1_error, p->images_per_second,
             waiting_text(p->data_wait_percent), cli_duration(p->seconds_left));
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

static senet_status print_result(const sn_train_config *config, const sn_train_result *result, bool stopped,
                                 bool as_json)
{
    sn_text text = {0};
    bool evaluated = *result->best != 0;
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
        sn_json_add_double(&json, "data_wait_percent", result->data_wait_percent);
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
    sn_text_printf(&text, "%s: epochs %lld, steps %s, %.1f images/s, %.1f%% of the time waiting for data",
                   config->model, (long long)result->epochs, cli_grouped(result->steps), result->images_per_second,
                   result->data_wait_percent);
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
    senet_status status;
    SN_TRY(cli_train_config(arguments, &arena, &config), cleanup);
    SN_TRY(cli_train_check(&config), cleanup);
    if (cli_flag(arguments, "dry-run")) {
        status = cli_train_print_settings(arguments, &config);
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
    {"senet train --recipe imagenet --model se_resnet50 --data folder:imagenet --output r50 --dry-run",
     "What the paper's ImageNet training would do: every setting and its source"},
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
        "Recipes: `senet recipes` lists them: the trainings of the paper's tables (imagenet, mobile, ablation, senet154, "
        "places365, cifar-...), of the released models, and quick and demo (which needs no files) to begin with. "
        "--dry-run shows every setting, its value and where that is from, and trains nothing.\n\n"
        "One seed gives the same weights, bit for bit, for any number of threads and however often the run was "
        "stopped and resumed. SIGINT, SIGTERM and SIGHUP let the step finish, save, and end with exit code 75.",
    .options = cli_train_options,
    .examples = examples,
    .run = run,
};
