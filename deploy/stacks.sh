# For the shell of an administrator (docs/aws.md), with AWS_DEFAULT_REGION and PLATFORM set:
#   . deploy/stacks.sh
#   deploy NAME [Parameter=value]...    make or update a stack; parameters that are not named keep their values
# shellcheck shell=bash

work=s3://$PLATFORM-work-$(aws sts get-caller-identity --query Account --output text)-$AWS_DEFAULT_REGION

deploy() {
    local stack=$PLATFORM-$1 state
    state=$(aws cloudformation describe-stacks --stack-name "$stack" --output text \
        --query 'Stacks[0].StackStatus' 2>/dev/null) || true
    # What is left if the first creation failed: it holds nothing, and AWS cannot update it.
    if [ "$state" = ROLLBACK_COMPLETE ] || [ "$state" = ROLLBACK_FAILED ]; then
        aws cloudformation delete-stack --stack-name "$stack" &&
            aws cloudformation wait stack-delete-complete --stack-name "$stack" || return
    fi
    aws cloudformation deploy --no-fail-on-empty-changeset --capabilities CAPABILITY_NAMED_IAM --stack-name "$stack" \
        --template-file "deploy/cloudformation/$1.yaml" ${DEPLOY_OPTIONS:-} \
        --parameter-overrides "Platform=$PLATFORM" "${@:2}"
}

# The newest image for the host. A new image replaces the machine, so deploy does not look it up.
newest_image() {
    aws ssm get-parameter --output text --query Parameter.Value \
        --name /aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64
}

# An output of a stack, such as: output host HostId
output() {
    aws cloudformation describe-stacks --stack-name "$PLATFORM-$1" --output text \
        --query "Stacks[0].Outputs[?OutputKey=='$2'].OutputValue"
}
