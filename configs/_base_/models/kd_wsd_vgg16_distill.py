# Liu et al. 2018, section 3.2: the student with both losses of its distillation.
_base_ = ['./kd_wsd_vgg16_student.py']

model = dict(
    type='mlic_mm.MultiLabelClassifier',
    objectives=dict(
        teacher=dict(
            type='mlic_mm.Distillation',
            losses=dict(
                # Eq. 3 and 4 at conv5_3: the last map of the teacher, and the map before the student's last pooling.
                roi=dict(type='mlic_mm.RoIFeatureDistillLoss', student_layer='backbone.features.16', teacher_layer=''),
                # Eq. 5 to 8.
                prediction=dict(type='mlic_mm.ClassAwareDistillLoss', num_proposals=500),
            ),
            student_size=224,  # the teacher sees the image as it is loaded
        ),
    ),
)
