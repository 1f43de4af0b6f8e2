// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";

/// @title Pays many payees in one transaction. It holds no tokens between transactions.
/// @notice The first five functions have the selectors of the multi-transfer contracts on Golem's networks, so that
/// programs written for those work with this one. A packed item is 20 bytes of address and 12 bytes of amount.
contract MultiPay {
    using SafeERC20 for IERC20;

    // solhint-disable-next-line var-name-mixedcase
    IERC20 public immutable GLM;

    event Paid(address indexed payer, address indexed payee, uint256 amount, bytes32 indexed ref);

    error LengthsDiffer(uint256 left, uint256 right);
    error TotalDiffers(uint256 total, uint256 sum);

    constructor(IERC20 token) {
        GLM = token;
    }

    /// @notice From the caller to each payee: the token's logs name payer and payee.
    function golemTransferDirect(address[] calldata recipients, uint256[] calldata amounts) external {
        if (recipients.length != amounts.length) revert LengthsDiffer(recipients.length, amounts.length);
        for (uint256 i = 0; i < recipients.length; ++i) {
            GLM.safeTransferFrom(msg.sender, recipients[i], amounts[i]);
        }
    }

    /// @notice From the caller to this contract and on to each payee: cheaper where allowances are costly to lower.
    function golemTransferIndirect(address[] calldata recipients, uint256[] calldata amounts) external {
        if (recipients.length != amounts.length) revert LengthsDiffer(recipients.length, amounts.length);
        uint256 total = 0;
        for (uint256 i = 0; i < amounts.length; ++i) {
            total += amounts[i];
        }
        GLM.safeTransferFrom(msg.sender, address(this), total);
        for (uint256 i = 0; i < recipients.length; ++i) {
            GLM.safeTransfer(recipients[i], amounts[i]);
        }
    }

    function golemTransferDirectPacked(bytes32[] calldata items) external {
        for (uint256 i = 0; i < items.length; ++i) {
            (address payee, uint256 amount) = _unpack(items[i]);
            GLM.safeTransferFrom(msg.sender, payee, amount);
        }
    }

    function golemTransferIndirectPacked(bytes32[] calldata items, uint256 total) external {
        GLM.safeTransferFrom(msg.sender, address(this), total);
        uint256 sum = 0;
        for (uint256 i = 0; i < items.length; ++i) {
            (address payee, uint256 amount) = _unpack(items[i]);
            sum += amount;
            GLM.safeTransfer(payee, amount);
        }
        if (sum != total) revert TotalDiffers(total, sum);
    }

    /// @notice As `golemTransferDirectPacked`, and leaves a receipt with the payer's reference for each item.
    function payWithReceipts(bytes32[] calldata items, bytes32[] calldata refs) external {
        if (items.length != refs.length) revert LengthsDiffer(items.length, refs.length);
        for (uint256 i = 0; i < items.length; ++i) {
            (address payee, uint256 amount) = _unpack(items[i]);
            GLM.safeTransferFrom(msg.sender, payee, amount);
            emit Paid(msg.sender, payee, amount, refs[i]);
        }
    }

    function _unpack(bytes32 item) private pure returns (address payee, uint256 amount) {
        return (address(bytes20(item)), uint96(uint256(item)));
    }
}
