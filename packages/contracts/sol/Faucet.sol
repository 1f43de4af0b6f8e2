// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {Address} from "@openzeppelin/contracts/utils/Address.sol";
import {TestGlm} from "./TestGlm.sol";

/// @title Hands out test tokens, and a little of the native coin to pay fees with.
/// @notice `create()` is the call of Golem's own faucets. The faucet creates the token, and is its only minter.
contract Faucet {
    using Address for address payable;

    /// @notice What one `create()` hands out.
    uint256 public constant TOKEN_GRANT = 1000 ether;
    /// @notice Nobody who holds this much gets more.
    uint256 public constant TOKEN_CAP = 400 ether;
    uint256 public constant NATIVE_GRANT = 0.1 ether;
    uint256 public constant NATIVE_CAP = 0.009 ether;

    TestGlm public immutable token;

    error HasEnough(address account, uint256 balance, uint256 cap);

    constructor() payable {
        token = new TestGlm(address(this));
    }

    receive() external payable {}

    /// @notice Mints `TOKEN_GRANT` to the caller.
    function create() external {
        createFor(msg.sender);
    }

    /// @notice Mints `TOKEN_GRANT` to `account`, which needs no native coin for it.
    function createFor(address account) public {
        uint256 balance = token.balanceOf(account);
        if (balance >= TOKEN_CAP) revert HasEnough(account, balance, TOKEN_CAP);
        token.mint(account, TOKEN_GRANT);
    }

    /// @notice Sends `NATIVE_GRANT` to `account`.
    function drip(address payable account) external {
        uint256 balance = account.balance;
        if (balance >= NATIVE_CAP) revert HasEnough(account, balance, NATIVE_CAP);
        account.sendValue(NATIVE_GRANT);
    }
}
