"""What every function of skyfan shares. An author writes process(); ``lambda_handler`` does the rest."""
