"""Writing a tiny base in the original single-file form (sgm names), to see that such files are read exactly.

The names follow the layout of the published SDXL and SD 1.x files; only what the tiny bases hold is covered.
"""

import re

import torch

RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}
UNET = {
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "add_embedding.linear_1": "label_emb.0.0",
    "add_embedding.linear_2": "label_emb.0.2",
    "conv_in": "input_blocks.0.0",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
}
ATTENTION = {"group_norm": "norm", "to_q": "q", "to_k": "k", "to_v": "v", "to_out.0": "proj_out"}
OPENCLIP = {
    "layer_norm1": "ln_1",
    "layer_norm2": "ln_2",
    "mlp.fc1": "mlp.c_fc",
    "mlp.fc2": "mlp.c_proj",
    "self_attn.out_proj": "attn.out_proj",
}


def original_form(base):
    """Give all tensors of a base under their original names."""
    parts = {name: module.state_dict() for name, module in base.parts().items()}
    layers = base.parts()["unet"].config.layers_per_block
    tensors = {f"model.diffusion_model.{unet_name(key, layers)}": value for key, value in parts["unet"].items()}
    tensors |= {f"first_stage_model.{vae_name(key)}": vae_value(key, value) for key, value in parts["vae"].items()}
    clip = (
        "conditioner.embedders.0.transformer.text_model."
        if "text_encoder_2" in parts
        else "cond_stage_model.transformer.text_model."
    )
    tensors |= {clip + key: value for key, value in parts["text_encoder"].items()}
    if "text_encoder_2" in parts:
        tensors |= {
            f"conditioner.embedders.1.model.{key}": value for key, value in openclip(parts["text_encoder_2"]).items()
        }
    return {key: value.contiguous().clone() for key, value in tensors.items()}


def unet_name(key, layers):
    for ours, theirs in UNET.items():
        if key.startswith(ours + "."):
            return key.replace(ours, theirs, 1)
    found = re.match(
        r"(down_blocks|up_blocks|mid_block)\.?(\d*)\.(resnets|attentions|downsamplers|upsamplers)\.(\d+)\.(.*)", key
    )
    side, block, kind, index, rest = found.groups()
    if kind == "resnets":
        head, _, tail = rest.partition(".")
        rest = f"{RESNET[head]}.{tail}"
    if side == "mid_block":
        return f"middle_block.{1 if kind == 'attentions' else 2 * int(index)}.{rest}"
    if kind == "downsamplers":
        return f"input_blocks.{(int(block) + 1) * (layers + 1)}.0.op.{rest.partition('.')[2]}"
    if kind == "upsamplers":
        return f"output_blocks.{(int(block) + 1) * (layers + 1) - 1}.2.{rest}"
    place = int(block) * (layers + 1) + int(index)
    half, place = ("input_blocks", place + 1) if side == "down_blocks" else ("output_blocks", place)
    return f"{half}.{place}.{int(kind == 'attentions')}.{rest}"


def vae_name(key):
    for ours, theirs in ATTENTION.items():
        key = key.replace(f"attentions.0.{ours}.", f"attn_1.{theirs}.")
    key = re.sub(r"mid_block\.resnets\.(\d)", lambda m: f"mid.block_{int(m[1]) + 1}", key).replace("mid_block.", "mid.")
    key = re.sub(r"down_blocks\.(\d)\.resnets", r"down.\1.block", key)
    key = re.sub(r"up_blocks\.(\d)\.resnets", lambda m: f"up.{3 - int(m[1])}.block", key)
    key = re.sub(r"down_blocks\.(\d)\.downsamplers\.0", r"down.\1.downsample", key)
    key = re.sub(r"up_blocks\.(\d)\.upsamplers\.0", lambda m: f"up.{3 - int(m[1])}.upsample", key)
    return key.replace("conv_shortcut", "nin_shortcut").replace("conv_norm_out", "norm_out")


def vae_value(key, value):
    return value[..., None, None] if "attentions" in key and value.ndim == 2 else value


def openclip(state):
    state = {key.removeprefix("text_model."): value for key, value in state.items()}
    named = {
        "token_embedding.weight": state["embeddings.token_embedding.weight"],
        "positional_embedding": state["embeddings.position_embedding.weight"],
        "text_projection": state["text_projection.weight"].T,
    }
    for key, value in state.items():
        if key.startswith("final_layer_norm"):
            named[key.replace("final_layer_norm", "ln_final")] = value
        if found := re.match(r"encoder\.layers\.(\d+)\.(.*)", key):
            layer, rest = f"transformer.resblocks.{found[1]}.", found[2]
            if rest.startswith("self_attn.q_proj"):
                kind = rest.rpartition(".")[2]
                fused = [state[f"encoder.layers.{found[1]}.self_attn.{one}_proj.{kind}"] for one in "qkv"]
                named[f"{layer}attn.in_proj_{kind}"] = torch.cat(fused)
            for ours, theirs in OPENCLIP.items():
                if rest.startswith(ours + "."):
                    named[layer + rest.replace(ours, theirs, 1)] = value
    return named
