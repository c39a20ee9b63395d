"""What each exported column means, in words."""

from __future__ import annotations

MEANINGS: dict[str, dict[str, str]] = {
    "videos": {
        "video_id": "name made of the file's name and 8 hex digits of its content",
        "run": (
            "which parts belong to this row: named by content, settings and models, so the "
            "same work has the same name"
        ),
        "content_id": "sha256 of the file's bytes, hex",
        "paths": "every file with these bytes",
        "mtimes_ns": "their modification times, Unix nanoseconds, in the order of paths",
        "size_bytes": "size of the file",
        "status": "ok; partial: some of it could not be decoded; failed: nothing could; damaged: "
        "its files are no longer what was written, and the same ingest looks at it again",
        "error": "the reason, for a person",
        "stream": "number of the video stream in its container",
        "container": "FFmpeg's name of the container",
        "codec": "FFmpeg's name of the codec",
        "pixel_format": "FFmpeg's name of the pixel format",
        "width": "pixels, upright",
        "height": "pixels, upright",
        "rotation": "degrees counter-clockwise, already applied",
        "time_base_num": "seconds of one pts unit are time_base_num / time_base_den",
        "time_base_den": "see above",
        "start_s": "presentation time of the first frame",
        "duration_s": "from the first frame to the end of the last",
        "n_frames": "frames in the video",
        "assumed_fps": "frames per second that were assumed where the file carries no times",
        "decoder": "decord or pyav: what decoded it",
        "decoder_reason": "why not decord, or why not what was asked for",
        "settings": "what decides the rows, as JSON",
        "sample_fps": "frames looked at per second, at most; null: every frame",
        "space": "which model made the embeddings; only equal spaces are compared",
        "pack": "model pack",
        "detector": "detector's file and sha256",
        "device": "device asked for",
        "provider": "what really ran, read back from the session",
        "n_samples": "instants examined",
        "n_undecodable": "instants wanted that could not be decoded",
        "n_bad_packets": "damaged packets skipped",
        "n_faces": "faces found",
        "n_tracks": "tracks found",
        "n_refined": "samples added where a track starts or ends",
        "n_carried": "samples taken to show what the one before shows",
        "n_embedded": "faces with an embedding of their own",
        "n_second_looks": "frames looked at again for a face that fills much of them",
        "engine_note": "why a model ran slower than it could; null when all is as it should be",
        "decode_s": "worker seconds spent decoding",
        "detect_s": "worker seconds spent detecting",
        "align_s": "worker seconds spent aligning",
        "embed_s": "worker seconds spent embedding",
        "write_s": "worker seconds spent writing",
        "created_utc": "when the row was written",
        "facelake_version": "version that wrote it",
    },
    "samples": {
        "pts": "the frame, in units of the video's time base",
        "time_s": "the same in seconds",
        "shown_s": "how long this frame stays on screen, in seconds",
        "n_faces": "faces found, 0 included",
        "status": "ok or undecodable",
        "source": (
            "detected: the detector looked at this frame; refined: it did, between two "
            "samples, where a track starts or ends; carried: it did not, the picture is that "
            "of the sample before; none: undecodable"
        ),
        "new_shot": (
            "whether the picture changes to this frame from the sample before as at a cut; "
            "null at the first"
        ),
    },
    "faces": {
        "face_id": "16 hex digits made of content, pts and box: the same in every run",
        "pts": "the frame",
        "time_s": "the same in seconds",
        "bbox_xyxy": (
            "left, top, right, bottom in pixels of the upright frame; may reach over its edge"
        ),
        "det_score": "the detector's score, (0, 1]",
        "landmarks": (
            "x, y of left eye, right eye, nose, left and right corner of the mouth (as seen "
            "in the picture), pixels"
        ),
        "align_rms": (
            "distance of the landmarks to a frontal face, in pixels of the 112-pixel "
            "template: frontal below about 3, profile above about 8"
        ),
        "sharpness": "variance of the Laplacian of the grey 112-pixel chip; blurred below about 50",
        "quality": "how far the face can be trusted to be recognised, [0, 1]",
        "track_id": "number of the track within the video",
        "embedded_face_id": (
            "of a face whose embedding is null, the face whose embedding stands for it: of "
            "the embedded ones of its track the nearest in time"
        ),
    },
    "tracks": {
        "track_id": "number within the video",
        "start_s": "time of the first face",
        "end_s": "end of the frame of the last face",
        "n_faces": "faces in the track",
        "best_face_id": "the face with the highest quality",
        "cos_to_mean_min": "spread: cosine of the face least like the mean to the mean",
    },
    "gallery": {
        "exemplar_id": "name of the exemplar",
        "identity": "whose face it is",
        "photo": (
            "path as it was enrolled; of a face of the catalog its video's, with #t= and the "
            "seconds"
        ),
        "photo_sha256": "sha256 of the photo's bytes",
        "bbox_xyxy": "left, top, right, bottom in pixels of the photo",
        "det_score": "the detector's score, (0, 1]",
        "quality": "as in faces",
        "note": "what a person should know of this photo",
        "role": (
            "anchor (or null): enrolled by a person; grown: taken from the archive; negative: a "
            "face that is not this person; vetoed: not compared, and not to be grown again"
        ),
        "face_id": "of an exemplar that is a face of the catalog: the face",
        "video_id": "the same: its video",
        "time_s": "the same: its time",
        "score": "of a grown one: best score with the anchors when it was grown",
        "margin": "of a grown one: that score minus the best with anybody else",
        "added_utc": "when it was added",
    },
    "labels": {
        "label_id": "name of the label",
        "face_id": "the face",
        "video_id": "its video",
        "content_id": "sha256 of that video's bytes",
        "pts": "its frame",
        "time_s": "the same in seconds",
        "bbox_xyxy": "left, top, right, bottom in pixels of the upright frame",
        "name": "who it is said to be, or not to be",
        "kind": "is, is_not, or none: what was said before is taken back",
        "person_id": "the person whose face it was then",
        "evidence": "why",
        "author": "who said so",
        "created_utc": "when",
        "replaces": "the label of this face that counted before",
    },
}
"""Table → column → meaning. A test holds it to the schema."""

ADDED = {
    "video_id": "the video, as in videos",
    "path": "one of the files that hold the video, where it was when it was ingested",
    "space": "which model made the embedding; never compare those of two spaces",
    "embedding": "the face as a vector of unit length; null where another face's stands for it",
}
"""Columns that the export adds to the catalog's."""
