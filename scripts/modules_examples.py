"""Modules of mlx-examples and of mamba.py, small, from checkouts of their repositories."""

from __future__ import annotations

from functools import partial
from types import SimpleNamespace
from typing import Any

import mlx.core as mx
from mlx import nn

from scripts.conversions import Made
from scripts.small_modules import examples, load, made, module, numbers, settled, tokens

IMAGE = (1, 32, 32, 3)


def _sam(name: str) -> Any:
    return examples("segment_anything", f"segment_anything.{name}")


@module("SAM: attention with relative positions")
def _sam_attention() -> Made:
    return made(_sam("image_encoder").Attention(32, 4, use_rel_pos=True, input_size=(6, 6)), x=numbers(2, 6, 6, 32))


@module("SAM: windowed block")
def _sam_block() -> Made:
    block = _sam("image_encoder").Block(32, 4, use_rel_pos=True, window_size=4, input_size=(6, 6))
    return made(block, x=numbers(1, 6, 6, 32))


@module("SAM: image encoder")
def _sam_encoder() -> Made:
    encoder = _sam("image_encoder").ImageEncoderViT(
        img_size=48,
        patch_size=8,
        embed_dim=32,
        depth=2,
        num_heads=4,
        out_chans=16,
        use_rel_pos=True,
        window_size=4,
        global_attn_indexes=(1,),
    )
    return made(encoder, x=numbers(1, 48, 48, 3))


@module("SAM: neck")
def _sam_neck() -> Made:
    return made(_sam("image_encoder").Neck(32, 16), x=numbers(1, 6, 6, 32))


@module("SAM: two-way transformer")
def _sam_two_way() -> Made:
    model = _sam("transformer").TwoWayTransformer(2, 32, 4, 64)
    return made(
        model,
        image_embedding=numbers(1, 4, 4, 32),
        image_pe=0.5 * numbers(1, 4, 4, 32),
        point_embedding=numbers(1, 3, 32),
    )


@module("SAM: mask decoder")
def _sam_masks() -> Made:
    two_way = _sam("transformer").TwoWayTransformer(2, 32, 4, 64)
    decoder = _sam("mask_decoder").MaskDecoder(transformer_dim=32, transformer=two_way, iou_head_hidden_dim=32)

    def masks(image: mx.array, pe: mx.array, sparse: mx.array, dense: mx.array) -> Any:
        return decoder(image, pe, sparse, dense, multimask_output=True)

    image = numbers(1, 4, 4, 32)
    return made(decoder, masks, image=image, pe=0.5 * image, sparse=numbers(1, 2, 32), dense=0.1 * image)


@module("SAM: prompt encoder")
def _sam_prompts() -> Made:
    prompts = _sam("prompt_encoder")
    encoder = prompts.PromptEncoder(32, (4, 4), (32, 32), 16)
    positions = prompts.PositionEmbeddingRandom(16)
    mx.eval(positions.parameters())

    def encode(boxes: mx.array, masks: mx.array) -> Any:
        return encoder(None, boxes, masks, positions)

    return made(encoder, encode, boxes=mx.array([[2.0, 3.0, 20.0, 30.0]]), masks=numbers(1, 16, 16, 1))


def _flux(name: str) -> Any:
    return examples("flux", f"flux.{name}")


def _placed(layers: Any, length: int) -> tuple[Any, mx.array]:
    """What makes positions of ids, and ids: the positions themselves have six axes, so blocks take the ids here."""
    return layers.EmbedND(8, 10000, [4, 2, 2]), mx.arange(3 * length, dtype=mx.float32).reshape(1, length, 3)


@module("Flux: positions")
def _flux_positions() -> Made:
    return made(_flux("layers").EmbedND(8, 10000, [4, 2, 2]), ids=mx.arange(18, dtype=mx.float32).reshape(1, 6, 3))


@module("Flux: self attention")
def _flux_attention() -> Made:
    layers = _flux("layers")
    block, (embed, ids) = layers.SelfAttention(32, 4), _placed(layers, 6)
    return made(block, lambda x, ids: block(x, embed(ids)), x=numbers(1, 6, 32), ids=ids)


@module("Flux: double stream block")
def _flux_double() -> Made:
    layers = _flux("layers")
    block, (embed, ids) = layers.DoubleStreamBlock(32, 4, 2.0), _placed(layers, 7)

    def both(img: mx.array, txt: mx.array, vec: mx.array, ids: mx.array) -> Any:
        return block(img, txt, vec, embed(ids))

    return made(block, both, img=numbers(1, 4, 32), txt=0.5 * numbers(1, 3, 32), vec=numbers(1, 32), ids=ids)


@module("Flux: single stream block")
def _flux_single() -> Made:
    layers = _flux("layers")
    block, (embed, ids) = layers.SingleStreamBlock(32, 4), _placed(layers, 6)
    return made(block, lambda x, vec, ids: block(x, vec, embed(ids)), x=numbers(1, 6, 32), vec=numbers(1, 32), ids=ids)


@module("Flux: last layer")
def _flux_last() -> Made:
    return made(_flux("layers").LastLayer(32, 1, 16), x=numbers(1, 6, 32), vec=numbers(1, 32))


@module("Flux: transformer")
def _flux_model() -> Made:
    flux = _flux("model")
    params = flux.FluxParams(
        in_channels=16,
        vec_in_dim=16,
        context_in_dim=24,
        hidden_size=32,
        mlp_ratio=2.0,
        num_heads=4,
        depth=1,
        depth_single_blocks=1,
        axes_dim=[4, 2, 2],
        theta=10000,
        qkv_bias=True,
        guidance_embed=True,
    )
    ids = mx.arange(12, dtype=mx.float32).reshape(1, 4, 3)
    return made(
        flux.Flux(params),
        img=numbers(1, 4, 16),
        img_ids=ids,
        txt=numbers(1, 3, 24),
        txt_ids=mx.zeros((1, 3, 3)),
        timesteps=mx.array([0.5]),
        y=numbers(1, 16),
        guidance=mx.array([4.0]),
    )


AUTOENCODER = {"ch": 32, "ch_mult": [1, 2], "num_res_blocks": 1, "z_channels": 4, "resolution": 16}


@module("Flux: autoencoder's encoder")
def _flux_encoder() -> Made:
    return made(_flux("autoencoder").Encoder(in_channels=3, **AUTOENCODER), x=numbers(1, 16, 16, 3))


@module("Flux: autoencoder's decoder")
def _flux_decoder() -> Made:
    return made(_flux("autoencoder").Decoder(in_channels=3, out_ch=3, **AUTOENCODER), z=numbers(1, 8, 8, 4))


@module("Flux: T5 encoder")
def _flux_t5() -> Made:
    t5 = _flux("t5")
    config = t5.T5Config(
        vocab_size=64,
        num_layers=2,
        num_heads=4,
        relative_attention_num_buckets=8,
        d_kv=8,
        d_model=32,
        feed_forward_proj="gated-gelu",
        tie_word_embeddings=False,
        d_ff=48,
    )
    return made(t5.T5Encoder(config), inputs=tokens(8, 64))


def _whisper(dtype: mx.Dtype, bits: int = 0) -> Any:
    """Its weights shaken, then of a dtype, then quantised as its own conversion does."""
    whisper = examples("whisper", "mlx_whisper.whisper")
    dims = whisper.ModelDimensions(
        n_mels=16,
        n_audio_ctx=12,
        n_audio_state=32,
        n_audio_head=4,
        n_audio_layer=2,
        n_vocab=64,
        n_text_ctx=16,
        n_text_state=32,
        n_text_head=4,
        n_text_layer=2,
    )
    model = settled(whisper.Whisper(dims, dtype))
    model.set_dtype(dtype)
    if bits:
        nn.quantize(model, group_size=32, bits=bits)
    mx.eval(model.parameters())
    return model


def _whisper_encoder(dtype: mx.Dtype, bits: int = 0) -> Made:
    return _whisper(dtype, bits).encoder, {"x": numbers(1, 24, 16).astype(dtype)}


def _whisper_decoder(dtype: mx.Dtype, bits: int = 0) -> Made:
    decoder = _whisper(dtype, bits).decoder

    def logits(tokens: mx.array, audio: mx.array) -> Any:
        return decoder(tokens, audio)[0]

    return logits, {"tokens": tokens(6, 64), "audio": numbers(1, 12, 32).astype(dtype)}


WEIGHTS: dict[str, tuple[Any, ...]] = {
    "float32": (mx.float32,),
    "float16": (mx.float16,),
    "bfloat16": (mx.bfloat16,),
    "4-bit": (mx.float16, 4),
}
for _name, _weights in WEIGHTS.items():
    module(f"Whisper: audio encoder, {_name} weights")(partial(_whisper_encoder, *_weights))
    module(f"Whisper: text decoder, {_name} weights")(partial(_whisper_decoder, *_weights))


def _diffusion(name: str) -> Any:
    return examples("stable_diffusion", f"stable_diffusion.{name}")


@module("Stable Diffusion: U-Net")
def _unet() -> Made:
    config = _diffusion("config").UNetConfig(
        block_out_channels=(32, 64),
        layers_per_block=(1, 1),
        transformer_layers_per_block=(1, 1),
        num_attention_heads=(2, 4),
        cross_attention_dim=(32, 32),
        norm_num_groups=8,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
    )
    model = _diffusion("unet").UNetModel(config)
    return made(model, x=numbers(1, 8, 8, 4), timestep=mx.array([10.0]), encoder_x=numbers(1, 4, 32))


@module("Stable Diffusion: autoencoder, encode")
def _vae_encode() -> Made:
    model = _vae()
    return made(model, model.encode, x=numbers(1, 16, 16, 3))


@module("Stable Diffusion: autoencoder, decode")
def _vae_decode() -> Made:
    model = _vae()
    return made(model, model.decode, z=numbers(1, 8, 8, 4))


def _vae() -> Any:
    config = _diffusion("config").AutoencoderConfig(block_out_channels=(32, 64), layers_per_block=1, norm_num_groups=8)
    return _diffusion("vae").Autoencoder(config)


@module("Stable Diffusion: CLIP text encoder")
def _sd_clip() -> Made:
    config = _diffusion("config").CLIPTextModelConfig(
        num_layers=2, model_dims=32, num_heads=4, max_length=16, vocab_size=64, projection_dim=16
    )
    model = _diffusion("clip").CLIPTextModel(config)

    def encode(ids: mx.array) -> tuple[mx.array, mx.array]:
        out = model(ids)
        return out.pooled_output, out.last_hidden_state

    return made(model, encode, ids=tokens(8, 64))


VISION: dict[str, Any] = {
    "num_hidden_layers": 2,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_attention_heads": 4,
    "num_channels": 3,
    "image_size": 32,
    "patch_size": 8,
    "layer_norm_eps": 1e-5,
}


@module("CLIP: text model")
def _clip_text() -> Made:
    clip = examples("clip", "model")
    config = clip.CLIPTextConfig(2, 32, 48, 4, 16, 64, 1e-5)
    model = clip.ClipTextModel(config)
    return made(model, lambda ids: model(ids).pooler_output, ids=tokens(8, 64))


@module("CLIP: vision model")
def _clip_vision() -> Made:
    clip = examples("clip", "model")
    model = clip.ClipVisionModel(clip.CLIPVisionConfig(**VISION))
    return made(model, lambda x: model(x).pooler_output, x=numbers(*IMAGE))


@module("LLaVA: vision tower")
def _llava() -> Made:
    vision = examples("llava", "vision")
    model = vision.VisionModel(vision.VisionConfig("clip_vision_model", **VISION, projection_dim=16, vocab_size=64))
    return made(model, lambda x: model(x)[1], x=numbers(*IMAGE))


CODEC = SimpleNamespace(
    audio_channels=1,
    num_filters=8,
    kernel_size=7,
    upsampling_ratios=[4, 2],
    num_residual_layers=1,
    dilation_growth_rate=2,
    hidden_size=16,
    num_lstm_layers=1,
    last_kernel_size=7,
    residual_kernel_size=3,
    compress=2,
    use_causal_conv=True,
    norm_type="weight_norm",
    pad_mode="reflect",
    trim_right_ratio=1.0,
    use_conv_shortcut=True,
    codebook_size=32,
    codebook_dim=16,
    sampling_rate=2400,
    target_bandwidths=[6.0],
)


@module("EnCodec: residual block")
def _encodec_block() -> Made:
    return made(examples("encodec", "encodec").EncodecResnetBlock(CODEC, 16, [1, 1]), hidden_states=numbers(1, 24, 16))


@module("EnCodec: encoder")
def _encodec_encoder() -> Made:
    return made(examples("encodec", "encodec").EncodecEncoder(CODEC), hidden_states=numbers(1, 64, 1))


@module("EnCodec: transposed convolution")
def _encodec_up() -> Made:
    up = examples("encodec", "encodec").EncodecConvTranspose1d(CODEC, 16, 8, 4, stride=2)
    return made(up, hidden_states=numbers(1, 12, 16))


@module("EnCodec: residual quantiser")
def _encodec_quantiser() -> Made:
    quantiser = examples("encodec", "encodec").EncodecResidualVectorQuantizer(CODEC)

    def both(vectors: mx.array) -> tuple[mx.array, mx.array]:
        codes = quantiser.encode(vectors)
        return codes, quantiser.decode(codes)

    return made(quantiser, both, vectors=numbers(1, 10, 16))


T5 = SimpleNamespace(
    vocab_size=64,
    d_model=32,
    d_kv=8,
    num_heads=4,
    num_layers=2,
    d_ff=48,
    layer_norm_epsilon=1e-6,
    relative_attention_num_buckets=8,
    decoder_start_token_id=0,
    tie_word_embeddings=True,
)


@module("T5: encoder and decoder")
def _t5() -> Made:
    model = examples("t5", "t5").T5(T5)
    return made(model, inputs=tokens(8, 64), decoder_inputs=tokens(5, 64))


@module("MusicGen: decoder block")
def _musicgen() -> Made:
    decoder = SimpleNamespace(num_attention_heads=4, hidden_size=32, ffn_dim=48)
    block = examples("musicgen", "musicgen").TransformerBlock(SimpleNamespace(decoder=decoder))
    return made(block, x=numbers(1, 6, 32), conditioning=0.5 * numbers(1, 3, 32))


@module("BERT")
def _bert() -> Made:
    config = SimpleNamespace(
        vocab_size=64,
        hidden_size=32,
        type_vocab_size=2,
        max_position_embeddings=16,
        layer_norm_eps=1e-12,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=48,
    )
    model = examples("bert", "model").Bert(config)
    mask = mx.array([[1.0] * 6 + [0.0] * 2])
    return made(model, input_ids=tokens(8, 64), token_type_ids=mx.zeros((1, 8), mx.int32), attention_mask=mask)


@module("CIFAR ResNet-20")
def _cifar() -> Made:
    return made(examples("cifar", "resnet").resnet20(), x=numbers(*IMAGE))


@module("Keyword transformer")
def _kwt() -> Made:
    model = examples("speechcommands", "kwt").KWT((12, 8), (1, 8), 10, dim=32, depth=2, heads=2, mlp_dim=48)
    return made(model, x=numbers(1, 12, 8))


@module("GCN")
def _gcn() -> Made:
    adjacency = (numbers(10, 10) > 0.5).astype(mx.float32)
    return made(examples("gcn", "gcn").GCN(8, 16, 4), x=numbers(10, 8), adj=adjacency)


@module("CVAE: decoder")
def _cvae() -> Made:
    return made(examples("cvae", "vae").Decoder(8, (32, 32, 1), 16), z=numbers(1, 8))


@module("RealNVP: log density")
def _flow() -> Made:
    return made(examples("normalizing_flow", "flows").RealNVP(4, 2, 16, 2), x=numbers(8, 2))


@module("MNIST perceptron")
def _mnist() -> Made:
    return made(examples("mnist", "main").MLP(2, 64, 32, 10), x=numbers(4, 64))


@module("Transformer LM")
def _lm() -> Made:
    return made(examples("transformer_lm", "main").TransformerLM(64, 2, 32, 4, False), x=tokens(8, 64))


def _llm(folder: str) -> Made:
    llm = examples(f"llms/{folder}", folder)
    sizes = {"dim": 32, "n_layers": 2, "head_dim": 8, "hidden_dim": 48, "n_heads": 4, "n_kv_heads": 2}
    moe: dict[str, Any] = {"moe": {"num_experts": 4, "num_experts_per_tok": 2}} if folder == "mixtral" else {}
    rope = {} if folder == "mistral" else {"rope_theta": 1e4, "rope_traditional": True} if folder == "llama" else {}
    model = getattr(llm, folder.capitalize())(llm.ModelArgs(**sizes, norm_eps=1e-5, vocab_size=64, **moe, **rope))
    if folder == "llama":
        return made(model, x=tokens(8, 64))
    return made(model, lambda ids: model(ids)[0], ids=tokens(8, 64))


for _folder in ("llama", "mistral", "mixtral"):
    module(f"llms: {_folder}")(partial(_llm, _folder))


@module("mamba.py: language model's block")
def _mamba() -> Made:
    mamba = load("mamba_mlx", "mamba.py", "mlx")
    return made(mamba.Mamba(mamba.MambaConfig(d_model=16, n_layers=1)), x=numbers(1, 8, 16))


@module("mamba.py: block with the parallel scan")
def _mamba_scan() -> Made:
    mamba = load("mamba_mlx", "mamba.py", "mlx")
    return made(mamba.Mamba(mamba.MambaConfig(d_model=16, n_layers=1, pscan=True)), x=numbers(1, 8, 16))


@module("mamba.py: one step")
def _mamba_step() -> Made:
    mamba = load("mamba_mlx", "mamba.py", "mlx")
    model = mamba.Mamba(mamba.MambaConfig(d_model=16, n_layers=1))

    def step(x: mx.array, state: mx.array, inputs: mx.array) -> Any:
        y, ((state, inputs),) = model.step(x, [(state, inputs)])
        return y, state, inputs

    return made(model, step, x=numbers(1, 16), state=numbers(1, 32, 16), inputs=numbers(1, 3, 32))
