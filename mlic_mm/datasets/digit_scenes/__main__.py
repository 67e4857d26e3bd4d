"""Write the digit scenes: ``python -m mlic_mm.datasets.digit_scenes --out data/digits``."""

import argparse

from .scenes import write_digit_scenes


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description='Write the digit scenes, a small multi-label data set, in COCO format.'
    )
    parser.add_argument('--out', default='data/digits', help='folder to create (default: %(default)s)')
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--num-train', type=int, default=2000)
    parser.add_argument('--num-val', type=int, default=500)
    parser.add_argument('--size', type=int, default=112, help='edge of the images in pixels (default: %(default)s)')
    args = parser.parse_args(arguments)
    try:
        out = write_digit_scenes(
            args.out, seed=args.seed, num_train=args.num_train, num_val=args.num_val, size=args.size
        )
    except (FileExistsError, ValueError) as error:
        parser.error(str(error))
    print(f'{out}: {args.num_train} train and {args.num_val} val scenes')


if __name__ == '__main__':
    main()
