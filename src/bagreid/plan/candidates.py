"""Which identities an image may be, and what its bags say of each.

An image lies in every bag that covers its folder (nine, in SYSU-30k). The tables here are made
once a run, a row a folder, so that a batch looks its images up by folder.

Shape letters: F folders, B bags, K candidates, S kinds of bag.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bagreid.contracts import PADDING, FloatArray, IntArray


@dataclass(frozen=True, slots=True, eq=False)
class FolderCandidates:
    """The candidates of each folder's images from all the bags that cover the folder.

    A *kind* of bag is its number of folders: 1, 3 and 5 in SYSU-30k.

    Attributes:
        identity: ``(F, K)`` int64 class indices, ascending, padded with −1.
        evidence: ``(F, K, S)`` float32: the probability of each candidate if an identity were
            drawn at random from the label of a random bag of that kind; sums to 1 over K, or is 0
            where no bag of the kind covers the folder.
        kinds: ``(S,)`` int64, the number of folders of each kind of bag, ascending.
    """

    identity: IntArray
    evidence: FloatArray
    kinds: IntArray


def _rows_of(offsets: IntArray) -> IntArray:
    """The row number of every entry of a compressed sparse table."""
    return np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))


def folder_candidates(
    folder_offset: IntArray,
    folder: IntArray,
    label_offset: IntArray,
    label: IntArray,
    num_folders: int,
) -> FolderCandidates:
    """Collects what all bags say of each folder.

    Args:
        folder_offset: ``(B + 1,)``, where each bag's folders begin in ``folder``.
        folder: folder indices of all bags, one bag behind the other, none twice in a bag.
        label_offset: ``(B + 1,)``, where each bag's identities begin in ``label``.
        label: class indices of all bags, none twice in a bag.
        num_folders: Number F of folders.

    Returns:
        The tables; a folder that no bag covers has no candidate.
    """
    folders_in_bag = np.diff(folder_offset)
    labels_in_bag = np.diff(label_offset)
    kinds, kind_of_bag = np.unique(folders_in_bag, return_inverse=True)
    bag_of_entry = _rows_of(folder_offset)
    covering = np.zeros((num_folders, len(kinds)), np.int64)
    np.add.at(covering, (folder, kind_of_bag[bag_of_entry]), 1)
    # one line for every (bag, folder of the bag, identity of the bag)
    repeats = labels_in_bag[bag_of_entry]
    line_folder = np.repeat(folder, repeats)
    line_bag = np.repeat(bag_of_entry, repeats)
    start = np.repeat(label_offset[bag_of_entry], repeats)
    within = np.arange(len(start)) - np.repeat(np.cumsum(repeats) - repeats, repeats)
    line_label = label[start + within]
    line_kind = kind_of_bag[line_bag]
    weight = 1.0 / (labels_in_bag[line_bag] * covering[line_folder, line_kind])
    return _tables(line_folder, line_label, line_kind, weight, num_folders, kinds)


def _tables(
    line_folder: IntArray,
    line_label: IntArray,
    line_kind: IntArray,
    weight: FloatArray,
    num_folders: int,
    kinds: IntArray,
) -> FolderCandidates:
    """Sums the lines by (folder, identity) and lays them out in K columns."""
    width = int(line_label.max(initial=0)) + 1
    pair, inverse = np.unique(line_folder * width + line_label, return_inverse=True)
    pair_folder = pair // width
    count = np.bincount(pair_folder, minlength=num_folders)
    column = np.arange(len(pair)) - np.repeat(np.cumsum(count) - count, count)
    k = int(count.max(initial=0))
    identity = np.full((num_folders, k), PADDING, np.int64)
    identity[pair_folder, column] = pair % width
    evidence = np.zeros((num_folders, k, len(kinds)))
    np.add.at(evidence, (pair_folder[inverse], column[inverse], line_kind), weight)
    return FolderCandidates(identity, evidence.astype(np.float32), kinds)


def bag_candidates(label_offset: IntArray, label: IntArray) -> IntArray:
    """The label of each bag as a padded table.

    Args:
        label_offset: ``(B + 1,)``, where each bag's identities begin in ``label``.
        label: class indices of all bags.

    Returns:
        ``(B, K)`` int64, padded with −1.
    """
    count = np.diff(label_offset)
    table = np.full((len(count), int(count.max(initial=0))), PADDING, np.int64)
    column = np.arange(len(label)) - np.repeat(label_offset[:-1], count)
    table[_rows_of(label_offset), column] = label
    return table


def narrowest_candidates(
    folder_offset: IntArray,
    folder: IntArray,
    label_offset: IntArray,
    label: IntArray,
    num_folders: int,
) -> IntArray:
    """The label of the smallest bag that covers each folder: folder labels taken at their word.

    Args:
        folder_offset: see `folder_candidates`.
        folder: see `folder_candidates`.
        label_offset: see `folder_candidates`.
        label: see `folder_candidates`.
        num_folders: Number F of folders.

    Returns:
        ``(F, K)`` int64, padded with −1. Of equally small bags the first counts.
    """
    bag_of_entry = _rows_of(folder_offset)
    size = np.diff(folder_offset)[bag_of_entry]
    order = np.lexsort((bag_of_entry, size, folder))
    covered, first = np.unique(folder[order], return_index=True)
    labels = bag_candidates(label_offset, label)
    table = np.full((num_folders, labels.shape[1]), PADDING, np.int64)
    table[covered] = labels[bag_of_entry[order][first]]
    return table[:, (table >= 0).any(axis=0)]
