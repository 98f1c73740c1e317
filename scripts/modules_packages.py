"""Modules of mlx-vlm, mlx-audio and mlx-image, small, from the installed packages."""

from __future__ import annotations

from functools import partial
from typing import Any

import mlx.core as mx

from scripts.conversions import Made
from scripts.small_modules import load, made, module, numbers, tokens

IMAGE = (1, 32, 32, 3)


# mlx-image


@module("mlx-image: Swin, shifted window block")
def _swin_block() -> Made:
    block = load("mlxim.model.swin_transformer.swin_transformer").SwinTransformerBlock(32, 4, [4, 4], [2, 2])
    return made(block, x=numbers(1, 8, 8, 32))


@module("mlx-image: Swin V2, shifted window block")
def _swin_v2_block() -> Made:
    block = load("mlxim.model.swin_transformer.swin_transformer").SwinTransformerBlockV2(32, 4, [4, 4], [2, 2])
    return made(block, x=numbers(1, 8, 8, 32))


@module("mlx-image: Swin, patch merging")
def _swin_merging() -> Made:
    return made(load("mlxim.model.swin_transformer.swin_transformer").PatchMerging(16), x=numbers(1, 8, 8, 16))


def _swin_model(version: str) -> Made:
    swin = load("mlxim.model.swin_transformer.swin_transformer")
    model = swin.SwinTransformer(
        patch_size=[4, 4],
        embed_dim=16,
        depths=[2, 2],
        num_heads=[2, 4],
        window_size=[4, 4],
        num_classes=10,
        block=getattr(swin, f"SwinTransformerBlock{version}"),
        downsample_layer=getattr(swin, f"PatchMerging{version}"),
    )
    return made(model, x=numbers(*IMAGE))


for _version in ("", "V2"):
    module(f"mlx-image: Swin {_version or 'V1'}")(partial(_swin_model, _version))


@module("mlx-image: ViT")
def _vit() -> Made:
    return made(load("mlxim.model.vit.vit").VisionTransformer(32, 8, 2, 4, 32, 48, num_classes=10), x=numbers(*IMAGE))


def _mlxim(name: str) -> Made:
    return made(load("mlxim.model").create_model(name, weights=False, num_classes=10), x=numbers(1, 64, 64, 3))


for _name in ("mobilenet_v2", "mobilenet_v3_small", "efficientnet_b0", "regnet_y_400mf", "resnet18"):
    module(f"mlx-image: {_name}")(partial(_mlxim, _name))


# mlx-vlm

VISION: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_attention_heads": 4,
    "num_hidden_layers": 2,
    "image_size": 32,
    "patch_size": 8,
    "num_channels": 3,
}


def _vlm(name: str) -> Any:
    return load(f"mlx_vlm.models.{name}")


@module("mlx-vlm: Gemma 3, SigLIP vision tower")
def _siglip() -> Made:
    config = _vlm("gemma3.config").VisionConfig(model_type="siglip_vision_model", **VISION)
    model = _vlm("gemma3.vision").VisionModel(config)
    return made(model, lambda x: model(x)[0], x=numbers(*IMAGE))


@module("mlx-vlm: Gemma 3, projector")
def _gemma_projector() -> Made:
    gemma = _vlm("gemma3.config")
    vision = gemma.VisionConfig(model_type="siglip_vision_model", **VISION)
    text = gemma.TextConfig("gemma3", hidden_size=24, num_hidden_layers=1, intermediate_size=48, mm_tokens_per_image=4)
    config = gemma.ModelConfig(text_config=text, vision_config=vision, model_type="gemma3")
    return made(_vlm("gemma3.gemma3").Gemma3MultiModalProjector(config), x=numbers(1, 16, 32))


@module("mlx-vlm: SigLIP text model")
def _siglip_text() -> Made:
    keys = ("hidden_size", "intermediate_size", "num_attention_heads", "num_hidden_layers")
    sizes = {key: VISION[key] for key in keys}
    config = _vlm("siglip.config").TextConfig(vocab_size=64, max_position_embeddings=16, **sizes)
    model = _vlm("siglip.siglip").SiglipTextModel(config)
    return made(model, input_ids=tokens(8, 64))


@module("mlx-vlm: DINOv2")
def _dino() -> Made:
    config = _vlm("dinov2.config").ModelConfig(
        hidden_size=32, num_hidden_layers=2, num_attention_heads=4, image_size=32, patch_size=8
    )
    model = _vlm("dinov2.dinov2").Model(config)
    return made(model, lambda x: model(x)["last_hidden_state"], x=numbers(*IMAGE))


def _qwen_vision() -> Any:
    config = _vlm("qwen2_vl.config").VisionConfig(
        depth=2, embed_dim=32, hidden_size=24, num_heads=4, patch_size=4, spatial_patch_size=4, mlp_ratio=2.0
    )
    return _vlm("qwen2_vl.vision").VisionModel(config)


@module("mlx-vlm: Qwen2-VL, vision tower")
def _qwen_tower() -> Made:
    model, grid = _qwen_vision(), mx.array([[1, 4, 4]])
    return made(model, lambda patches: model(patches, grid), patches=numbers(16, 3 * 2 * 4 * 4))


@module("mlx-vlm: Qwen2-VL, patch embedding")
def _qwen_patches() -> Made:
    return made(_qwen_vision().patch_embed, hidden_states=numbers(16, 3 * 2 * 4 * 4))


@module("mlx-vlm: Qwen2-VL, patch merger")
def _qwen_merger() -> Made:
    return made(_qwen_vision().merger, x=numbers(16, 32))


@module("mlx-vlm: Pixtral, vision tower")
def _pixtral() -> Made:
    config = _vlm("pixtral.config").VisionConfig(**VISION, head_dim=8)
    model = _vlm("pixtral.vision").VisionModel(config)
    return made(model, lambda x: model(x)[0], x=numbers(*IMAGE))


@module("mlx-vlm: InternVL, vision tower and pixel shuffle")
def _internvl() -> Made:
    config = _vlm("internvl_chat.config").VisionConfig(model_type="intern_vit_6b", **VISION)
    model, shuffle = _vlm("internvl_chat.vision").VisionModel(config), _vlm("base").pixel_shuffle

    def shuffled(x: mx.array) -> Any:
        states = model(x, output_hidden_states=True)[0]
        return shuffle(states[:, 1:], 0.5)

    return made(model, shuffled, x=numbers(*IMAGE))


@module("mlx-vlm: Idefics 3, connector")
def _idefics() -> Made:
    config = _vlm("idefics3.config")
    text = config.TextConfig("llama", 24, 48, 4, 1e-5, 64, 4)
    keys = ("hidden_size", "num_attention_heads", "patch_size")
    vision = config.VisionConfig("siglip", **{key: VISION[key] for key in keys})
    whole = config.ModelConfig(text_config=text, vision_config=vision, model_type="idefics3")
    return made(_vlm("idefics3.idefics3").Idefics3Connector(whole), image_hidden_states=numbers(1, 16, 32))


def _davit() -> Any:
    return _vlm("florence2.vision")


@module("mlx-vlm: Florence-2, window block")
def _florence_window() -> Made:
    block = _davit().SpatialBlock(32, 4, 4)
    return made(block, lambda x: block(x, (8, 8))[0], x=numbers(1, 64, 32))


@module("mlx-vlm: Florence-2, channel block")
def _florence_channel() -> Made:
    block = _davit().ChannelBlock(32, 4)
    return made(block, lambda x: block(x, (8, 8))[0], x=numbers(1, 64, 32))


@module("mlx-vlm: Florence-2, DaViT")
def _florence() -> Made:
    config = _vlm("florence2.config").VisionConfig(
        depths=[1, 1],
        dim_embed=[16, 32],
        num_heads=[2, 4],
        num_groups=[2, 4],
        window_size=4,
        patch_size=[7, 3],
        patch_stride=[4, 2],
        patch_padding=[3, 1],
        patch_prenorm=[False, True],
    )
    return made(_davit().VisionModel(config), x=numbers(1, 3, 32, 32))


@module("mlx-vlm: FastViT, attention block")
def _fastvit_attention() -> Made:
    return made(_vlm("fastvlm.vision").AttentionBlock(64), x=numbers(1, 4, 4, 64))


@module("mlx-vlm: FastViT, mixer block")
def _fastvit_mixer() -> Made:
    return made(_vlm("fastvlm.vision").RepMixerBlock(16), x=numbers(1, 8, 8, 16))


@module("mlx-vlm: RF-DETR, windowed DINOv2")
def _rfdetr() -> Made:
    config = _vlm("rfdetr.config").DINOv2Config(
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=48,
        patch_size=8,
        image_size=32,
        out_feature_indexes=[1, 2],
        window_block_indexes=[0],
    )
    return made(_vlm("rfdetr.vision").DINOv2Backbone(config), x=numbers(*IMAGE))


@module("mlx-vlm: RF-DETR, deformable attention")
def _rfdetr_attention() -> Made:
    attention = _vlm("rfdetr.transformer").MSDeformableAttention(32, 4)
    boxes = mx.sigmoid(numbers(1, 5, 1, 4))

    def attend(query: mx.array, boxes: mx.array, value: mx.array) -> Any:
        return attention(query, boxes, value, (4, 4))

    return made(attention, attend, query=numbers(1, 5, 32), boxes=boxes, value=0.5 * numbers(1, 16, 32))


@module("mlx-vlm: RT-DETR v2, deformable attention")
def _rtdetr_attention() -> Made:
    config = _vlm("rt_detr_v2.config").RTDetrV2TransformerConfig(
        d_model=32, decoder_attention_heads=4, decoder_n_levels=2, decoder_n_points=2
    )
    attention = _vlm("rt_detr_v2.transformer").MSDeformableAttention(config)
    boxes = mx.sigmoid(numbers(1, 5, 1, 4))

    def attend(query: mx.array, boxes: mx.array, value: mx.array) -> Any:
        return attention(query, boxes, value, ((4, 4), (2, 2)))

    return made(attention, attend, query=numbers(1, 5, 32), boxes=boxes, value=0.5 * numbers(1, 20, 32))


@module("mlx-vlm: RT-DETR v2, hybrid encoder")
def _rtdetr_encoder() -> Made:
    config = _vlm("rt_detr_v2.config").RTDetrV2HybridEncoderConfig(
        encoder_hidden_dim=32, encoder_in_channels=[8, 16, 32], encoder_ffn_dim=48, encoder_attention_heads=4
    )
    model = _vlm("rt_detr_v2.vision").HybridEncoder(config)

    def fuse(low: mx.array, middle: mx.array, high: mx.array) -> Any:
        return tuple(model([low, middle, high]))

    return made(model, fuse, low=numbers(1, 16, 16, 32), middle=numbers(1, 8, 8, 32), high=numbers(1, 4, 4, 32))


@module("mlx-vlm: YOLO11")
def _yolo() -> Made:
    model = _vlm("yolo11.yolo11").YOLO11(nc=4)
    return made(model, x=numbers(1, 64, 64, 3))


@module("mlx-vlm: SAM 3, vision backbone")
def _sam3() -> Made:
    config = _vlm("sam3.config").ViTConfig(
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=48,
        image_size=64,
        patch_size=8,
        window_size=4,
        global_attn_indexes=[1],
        pretrain_image_size=32,
    )
    return made(_vlm("sam3.vision").ViTBackbone(config), x=numbers(1, 64, 64, 3))


@module("mlx-vlm: SAM 3, two-way transformer")
def _sam3_two_way() -> Made:
    model = _vlm("sam3.sam_components").TwoWayTransformer(32, 4, 2, 64)
    image = numbers(1, 16, 32)
    return made(model, image_embedding=image, image_pe=0.5 * image, point_embedding=numbers(1, 3, 32))


@module("mlx-vlm: ModernBERT")
def _modernbert() -> Made:
    config = _vlm("modernbert.config").ModelConfig("modernbert", 64, 32, 2, 48, 4, 16, local_attention=4)
    model = _vlm("modernbert.modernbert").Model(config)
    return made(model, lambda ids: model(ids).last_hidden_state, ids=tokens(8, 64))


# mlx-audio


def _codec(name: str) -> Any:
    return load(f"mlx_audio.codec.models.{name}")


@module("mlx-audio: DAC, encoder")
def _dac_encoder() -> Made:
    return made(_codec("descript.dac").Encoder(8, [2, 4], 16), x=numbers(1, 64, 1))


@module("mlx-audio: DAC, decoder")
def _dac_decoder() -> Made:
    return made(_codec("descript.dac").Decoder(16, 32, [4, 2]), x=numbers(1, 8, 16))


@module("mlx-audio: SNAC, encoder")
def _snac_encoder() -> Made:
    return made(_codec("snac.layers").Encoder(8, [2, 4], depthwise=True, attn_window_size=None), x=numbers(1, 64, 1))


@module("mlx-audio: SNAC, local attention")
def _snac_attention() -> Made:
    return made(_codec("snac.attention").LocalMHA(32, 4, 8, use_rotary_pos_emb=False), x=numbers(1, 32, 8))


@module("mlx-audio: Vocos, backbone and inverse STFT")
def _vocos() -> Made:
    vocos = _codec("vocos.vocos")
    backbone, head = vocos.VocosBackbone(16, 32, 48, 2), vocos.ISTFTHead(32, 32, 8)
    mx.eval(head.parameters())
    return made(backbone, lambda mel: head(backbone(mel)), mel=numbers(1, 12, 16))


@module("mlx-audio: Vocos, backbone")
def _vocos_backbone() -> Made:
    return made(_codec("vocos.vocos").VocosBackbone(16, 32, 48, 2), x=numbers(1, 12, 16))


@module("mlx-audio: BigVGAN")
def _bigvgan() -> Made:
    bigvgan = _codec("bigvgan.bigvgan")
    config = bigvgan.BigVGANConfig(8, [2, 2], [4, 4], 16, "1", [3], [[1, 3]], "snakebeta", True)
    return made(bigvgan.BigVGAN(config), x=numbers(1, 8, 12))


@module("mlx-audio: ECAPA-TDNN")
def _ecapa() -> Made:
    config = _codec("ecapa_tdnn.config").EcapaTdnnConfig(
        input_size=16, channels=32, embed_dim=24, attention_channels=16, res2net_scale=4, se_channels=16
    )
    return made(_codec("ecapa_tdnn.ecapa_tdnn").EcapaTdnnBackbone(config), x=numbers(1, 20, 16))


@module("mlx-audio: Mimi, SEANet encoder")
def _mimi() -> Made:
    seanet = _codec("mimi.modules.seanet")
    config = seanet.SeanetConfig(16, 1, True, 8, 1, [4, 2], 7, 3, 3, 2, "constant", True, 2)
    return made(seanet.SeanetEncoder(config), xs=numbers(1, 1, 64))


@module("mlx-audio: Mimi, residual quantiser")
def _mimi_quantiser() -> Made:
    quantiser = _codec("mimi.modules.quantization").SplitResidualVectorQuantizer(16, 24, 24, 3, 32)

    def both(vectors: mx.array) -> Any:
        codes = quantiser.encode(vectors)
        return codes, quantiser.decode(codes)

    return made(quantiser, both, vectors=numbers(1, 24, 10))


def _conformer(attention: str) -> Made:
    conformer = load("mlx_audio.stt.models.parakeet.conformer")
    args = conformer.ConformerArgs(16, 2, 32, 4, 2, 4, attention, "dw_striding", 5, 8, 64)
    model = conformer.Conformer(args)
    return made(model, lambda mel: model(mel)[0], mel=numbers(1, 32, 16))


module("mlx-audio: Parakeet, conformer")(partial(_conformer, "rel_pos"))


@module("mlx-audio: wav2vec 2.0")
def _wav2vec() -> Made:
    wav2vec = load("mlx_audio.stt.models.wav2vec.wav2vec")
    config = wav2vec.ModelConfig(
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=48,
        conv_dim=(16, 16),
        conv_stride=(5, 2),
        conv_kernel=(10, 3),
        num_feat_extract_layers=2,
        num_conv_pos_embeddings=8,
        num_conv_pos_embedding_groups=4,
    )
    model = wav2vec.Wav2Vec2Model(config)
    return made(model, lambda wave: model(wave).last_hidden_state, wave=numbers(1, 200))


def _kokoro(name: str) -> Any:
    return load(f"mlx_audio.tts.models.kokoro.{name}")


@module("mlx-audio: Kokoro, ALBERT")
def _albert() -> Made:
    config = _kokoro("modules").AlbertModelArgs(2, 4, 32, 48, 16, embedding_size=16, vocab_size=64)
    model = _kokoro("modules").CustomAlbert(config)
    return made(model, lambda ids: model(ids)[0], ids=tokens(8, 64))


@module("mlx-audio: Kokoro, LSTM in both directions")
def _kokoro_lstm() -> Made:
    model = _kokoro("modules").LSTM(16, 16)
    return made(model, lambda x: model(x)[0], x=numbers(1, 8, 16))


@module("mlx-audio: Kokoro, residual block in a style")
def _kokoro_block() -> Made:
    return made(_kokoro("istftnet").AdaINResBlock1(16, style_dim=8), x=numbers(1, 16, 12), s=numbers(1, 8))


def _stt_whisper(dtype: mx.Dtype) -> Made:
    whisper = load("mlx_audio.stt.models.whisper.whisper")
    encoder = whisper.AudioEncoder(16, 12, 32, 4, 2, dtype)
    encoder.set_dtype(dtype)
    return made(encoder, x=numbers(1, 24, 16).astype(dtype))


for _name, _dtype in (("float32", mx.float32), ("float16", mx.float16)):
    module(f"mlx-audio: Whisper encoder, {_name} weights")(partial(_stt_whisper, _dtype))
